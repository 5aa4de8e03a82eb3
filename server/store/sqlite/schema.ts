/**
 * The tables of a store, as its migrations make them. Rows live in rowid tables: without a rowid, values in
 * overflow pages make a put slower the more secrets there are.
 */
import { NO_BRANCH } from '../branch.ts'

/** Marks the file as a Sotto store, in SQLite's header: "SOTO" in ASCII. */
export const APPLICATION_ID = 0x534f544f

/** Part of 8: which branch this store is, where it ran last, and MACs over what is not a secret's own. */
const branches = `
ALTER TABLE meta ADD COLUMN branch TEXT NOT NULL DEFAULT '${NO_BRANCH}';  -- given at init and at each restore
ALTER TABLE meta ADD COLUMN adopted INTEGER NOT NULL DEFAULT 1 CHECK (adopted IN (0, 1));
ALTER TABLE meta ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;  -- of servers, so far
ALTER TABLE meta ADD COLUMN host TEXT NOT NULL DEFAULT '';      -- where the last of them was; '' for none yet
ALTER TABLE meta ADD COLUMN macs_from INTEGER;  -- from this audit record on each batch has a MAC; NULL before
ALTER TABLE meta ADD COLUMN mac BLOB;             -- of what the store is and how it came back, by the service; NULL until its first opening
ALTER TABLE meta ADD COLUMN checked INTEGER NOT NULL DEFAULT 0;  -- the revision up to which all changes were verified
ALTER TABLE meta ADD COLUMN checked_digest BLOB;                 -- of the rows of these, under the MAC
ALTER TABLE restore ADD COLUMN branch TEXT NOT NULL DEFAULT '${NO_BRANCH}';  -- that it began
`

/** Part of 8: which branch a restore continued, and the starts that are this store's own. */
const formerBranches = `
ALTER TABLE restore ADD COLUMN former TEXT NOT NULL DEFAULT '${NO_BRANCH}';

-- What a server that finds the claim of a start in a backend holds it against. The audit log may be moved away.
CREATE TABLE start (
  number INTEGER PRIMARY KEY,
  record TEXT NOT NULL UNIQUE  -- the id and the hash of its audit record
) STRICT;
`

/** Part of 8: each change has a MAC. */
const changeMacs = `
-- Of the change of this revision, whichever table has it.
CREATE TABLE change_mac (
  revision INTEGER PRIMARY KEY,
  state BLOB,  -- a digest of what it led to; NULL where that is not told
  mac BLOB     -- by the service, of the change and the digest; NULL in one of before there were any
) STRICT;
`

/** Part of 8: what a secret is set to. */
const settings = `
ALTER TABLE secret ADD COLUMN settings BLOB NOT NULL DEFAULT x'';  -- canonical bytes, under the MAC
`

/** Part of 8: the root key can be replaced, and some keys outlive it. */
const lastingKeys = `
-- Keys that outlive the root key, each sealed under it. A purpose without a row has a key that the root key gives.
CREATE TABLE lasting_key (
  purpose TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number >= 1),  -- that of the root key which it was made with
  created_at TEXT NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (purpose, number)
) STRICT;

-- What else is known of the root key: exactly one row.
CREATE TABLE root_key (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  number INTEGER NOT NULL CHECK (number >= 1),
  previous BLOB  -- the sealed key of MACs that the root key before gave; NULL once all are replaced
) STRICT;
INSERT INTO root_key (one, number) VALUES (1, 1);

-- One row for each committed change of the root key; its revision is one of the store, as in change.
CREATE TABLE root_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('rotate', 'settle')),
  number INTEGER NOT NULL,           -- of the root key from then on
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
`

/**
 * Migration n is at index n - 1. One that was released is never edited. Times are UTC text, `by` is a
 * principal as JSON.
 */
export const migrations: readonly string[] = [
  `
PRAGMA application_id = ${APPLICATION_ID};

-- What this store is and how far it has come: exactly one row.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  store_id TEXT NOT NULL,
  development INTEGER NOT NULL CHECK (development IN (0, 1)),
  created_at TEXT NOT NULL,
  revision INTEGER NOT NULL,   -- counts committed changes
  audit_id INTEGER,            -- the newest audit record known; NULL with its hash in a new store
  audit_hash TEXT,
  settled INTEGER NOT NULL,    -- goes up when it is asked which changes were committed, to be a write
  CHECK ((audit_id IS NULL) = (audit_hash IS NULL))
) STRICT;

-- The keyring, each entry sealed under the root key.
CREATE TABLE keyring_entry (
  id INTEGER PRIMARY KEY,
  created_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retiring')),
  sealed BLOB NOT NULL
) STRICT;

-- The root key as each key provider wrapped it.
CREATE TABLE root_wrap (
  id INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  created_at TEXT NOT NULL,
  wrapped BLOB NOT NULL,
  UNIQUE (provider, fingerprint)
) STRICT;

-- A name that was ever used. The row outlives the secret, or numbers could be given again.
CREATE TABLE secret (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,     -- compared and ordered by its bytes (collation BINARY)
  incarnation INTEGER NOT NULL CHECK (incarnation >= 1),
  active INTEGER NOT NULL,       -- 0 while the secret is deleted
  highest INTEGER NOT NULL,      -- never goes down
  versions TEXT NOT NULL,        -- numbers that have a value, as runs: '1-3,7'. In step with the
  removed TEXT NOT NULL,         -- table version, as are the tombstones: kept to be read at once
  mac BLOB NOT NULL              -- of the columns above, by the service; bytes to the store
) STRICT;

-- One row for each committed change, so the history of every secret.
CREATE TABLE change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('append', 'activate', 'remove-version', 'remove')),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER CHECK ((version IS NULL) = (verb = 'remove')),
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX change_secret ON change (secret);

-- A version number that was given. Erasing takes the bytes and leaves the row, as the tombstone.
CREATE TABLE version (
  id INTEGER PRIMARY KEY,
  secret INTEGER NOT NULL REFERENCES secret (id),
  number INTEGER NOT NULL CHECK (number BETWEEN 1 AND 4294967295),
  incarnation INTEGER NOT NULL,
  added INTEGER NOT NULL REFERENCES change (revision),
  removed INTEGER REFERENCES change (revision),
  key_id INTEGER REFERENCES keyring_entry (id),
  wrapped_key BLOB,
  sealed BLOB,  -- last, so that the columns before it are read without its overflow pages
  UNIQUE (secret, number),
  CHECK ((removed IS NULL) = (key_id IS NOT NULL)),
  CHECK ((removed IS NULL) = (wrapped_key IS NOT NULL)),
  CHECK ((removed IS NULL) = (sealed IS NOT NULL))
) STRICT;
`,

  // 2: wraps of the root key come and go, and each has the time when it was last proven.
  `
ALTER TABLE root_wrap ADD COLUMN proven_at TEXT;  -- NULL where the root key never came back from it

-- One row for each committed change of the wraps; its revision is one of the store, as in change.
CREATE TABLE wrap_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'remove')),
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
`,

  // 3: entries of the keyring come and go, and wraps are replaced.
  `
-- Finds what an entry still wraps, when it is to be erased.
CREATE INDEX version_key ON version (key_id) WHERE key_id IS NOT NULL;

-- One row for each committed change of the keyring; its revision is one of the store, as in change.
CREATE TABLE keyring_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'move', 'erase')),
  entry INTEGER NOT NULL,            -- that was added, moved to, or erased, and then has no row
  versions INTEGER CHECK ((versions IS NULL) = (verb <> 'move')),  -- how many data keys were moved
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;

-- The same table with one verb more.
CREATE TABLE new_wrap_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'remove', 'rewrap')),
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
INSERT INTO new_wrap_change
  SELECT revision, audit_id, audit_hash, verb, provider, fingerprint, by, at FROM wrap_change;
DROP TABLE wrap_change;
ALTER TABLE new_wrap_change RENAME TO wrap_change;
`,

  // 4: values can be kept in backends.
  `
-- A system that keeps values instead of this store, or copies of them.
CREATE TABLE backend (
  id INTEGER PRIMARY KEY CHECK (id >= 1),  -- never given again: backend_change has all that were
  name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  description TEXT NOT NULL,
  is_default INTEGER UNIQUE CHECK (is_default = 1),  -- NULL where it is not
  config TEXT NOT NULL,                              -- JSON, without credentials
  created_at TEXT NOT NULL,
  mac BLOB NOT NULL                                  -- of the columns above, by the service
) STRICT;

-- One row for each committed change of the backends; its revision is one of the store, as in change.
CREATE TABLE backend_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('create', 'edit', 'delete')),
  backend INTEGER NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX backend_change_backend ON backend_change (backend);

-- The backend that keeps the value, and sealed is a reference then; NULL: sealed is the value. A number
-- that was reserved and never filled has a row that was removed by the change which added it.
ALTER TABLE version ADD COLUMN backend INTEGER REFERENCES backend (id)
  CHECK (backend IS NULL OR removed IS NULL);
CREATE INDEX version_backend ON version (backend, secret) WHERE backend IS NOT NULL;

-- Places in backends that may hold a value which should not be there.
CREATE TABLE leftover (
  id INTEGER PRIMARY KEY,
  backend INTEGER NOT NULL REFERENCES backend (id),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER NOT NULL,
  waits INTEGER NOT NULL CHECK (waits IN (0, 1)),  -- 1: not while the version is there, whose move may go on
  UNIQUE (backend, secret, incarnation, version)
) STRICT;
CREATE INDEX leftover_secret ON leftover (secret, version);

-- The same table with more verbs.
CREATE TABLE new_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN
    ('append', 'activate', 'remove-version', 'remove', 'reserve', 'fill', 'rehome')),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER CHECK ((version IS NULL) = (verb IN ('remove', 'rehome'))),
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
INSERT INTO new_change
  SELECT revision, audit_id, audit_hash, verb, secret, incarnation, version, by, at FROM change;
DROP TABLE change;
ALTER TABLE new_change RENAME TO change;
CREATE INDEX change_secret ON change (secret);
`,

  // 5: a store that came back from a backup knows it.
  `
-- One row for each time; its revision is one of the store, as in change.
CREATE TABLE restore (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the record of it, the first of the log after it
  audit_hash TEXT NOT NULL,
  backup TEXT NOT NULL,
  taken_at TEXT NOT NULL,
  taken_revision INTEGER NOT NULL,
  floor INTEGER NOT NULL,  -- numbers that names unknown to the store may have had; never goes down
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
`,

  // 6: mirrors. The outbox of all of them is the table change, from the cursor of each on.
  `
CREATE TABLE mirror (
  backend INTEGER PRIMARY KEY REFERENCES backend (id) ON DELETE CASCADE,
  cursor INTEGER NOT NULL,  -- the revision up to which changes were taken up
  scope TEXT NOT NULL,      -- what it is for; another one: everything is looked at
  place TEXT,               -- what holds the values there, so that another one is noticed
  checked_at TEXT           -- when everything was last compared
) STRICT;

-- What a mirror shows of a secret.
CREATE TABLE mirrored (
  id INTEGER PRIMARY KEY,
  backend INTEGER NOT NULL REFERENCES mirror (backend) ON DELETE CASCADE,
  secret INTEGER NOT NULL REFERENCES secret (id),
  state TEXT NOT NULL CHECK (state IN ('due', 'ok', 'failed', 'drift', 'kept', 'left')),
  reason TEXT NOT NULL,
  since TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  retry_at TEXT,
  shown TEXT,     -- JSON: the revision there, what of the secret it is, and a keyed fingerprint
  intended TEXT,  -- the same of what is about to be written, so that a crash does not make it a stranger
  leaves TEXT NOT NULL,  -- versions that have a leaf, as runs
  UNIQUE (backend, secret)
) STRICT;
CREATE INDEX mirrored_state ON mirrored (backend, state);
`,

  // 7: mirrors keep no copies of versions; where such copies lie is remembered to be reported.
  `
CREATE TABLE stale_copy (
  backend INTEGER NOT NULL REFERENCES backend (id) ON DELETE CASCADE,
  secret INTEGER NOT NULL REFERENCES secret (id),
  versions TEXT NOT NULL  -- as runs
) STRICT;
INSERT INTO stale_copy SELECT backend, secret, leaves FROM mirrored WHERE leaves <> '';
ALTER TABLE mirrored DROP COLUMN leaves;
-- The scope had that setting, too; a different scope would have everything looked at again.
UPDATE mirror SET scope = coalesce(json_extract(scope, '$[0]'), scope) WHERE json_valid(scope);
`,

  // 8: the root key can be replaced; restores begin branches; what is told of store and changes is authenticated.
  [lastingKeys, branches, formerBranches, changeMacs, settings].join(''),

  // 9: the store may keep a value besides the reference to it.
  `
-- The sealed value, while a backend keeps it too; the data key of it is in the reference, so that whatever is
-- done to the wrap of that is done to both.
ALTER TABLE version ADD COLUMN kept BLOB CHECK (kept IS NULL OR backend IS NOT NULL);
CREATE INDEX version_kept ON version (secret) WHERE kept IS NOT NULL;
`,

  // 10: rotations of secrets, and how far each is.
  `
CREATE TABLE rotation (
  id INTEGER PRIMARY KEY CHECK (id >= 1),  -- never given again: rotation_change has all that were
  name TEXT NOT NULL UNIQUE,
  config TEXT NOT NULL,  -- JSON, without credentials
  state TEXT NOT NULL,   -- JSON: how far its run is
  created_at TEXT NOT NULL,
  mac BLOB NOT NULL      -- of the columns above, by the service
) STRICT;

-- One row for each committed change of the rotations; its revision is one of the store, as in change.
CREATE TABLE rotation_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,  -- the durable record of the intent
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('create', 'edit', 'delete')),
  rotation INTEGER NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX rotation_change_rotation ON rotation_change (rotation);
`,
]
