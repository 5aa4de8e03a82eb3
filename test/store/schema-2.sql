-- A store as schema 2 has it: tables, rows and marks of the file.
PRAGMA application_id = 1397707855;
PRAGMA user_version = 2;
CREATE TABLE change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('append', 'activate', 'remove-version', 'remove')),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER CHECK ((version IS NULL) = (verb = 'remove')),
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE keyring_entry (
  id INTEGER PRIMARY KEY,
  created_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retiring')),
  sealed BLOB NOT NULL
) STRICT;
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  store_id TEXT NOT NULL,
  development INTEGER NOT NULL CHECK (development IN (0, 1)),
  created_at TEXT NOT NULL,
  revision INTEGER NOT NULL,
  audit_id INTEGER,
  audit_hash TEXT,
  settled INTEGER NOT NULL,
  CHECK ((audit_id IS NULL) = (audit_hash IS NULL))
) STRICT;
CREATE TABLE root_wrap (
  id INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  created_at TEXT NOT NULL,
  wrapped BLOB NOT NULL, proven_at TEXT,
  UNIQUE (provider, fingerprint)
) STRICT;
CREATE TABLE secret (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  incarnation INTEGER NOT NULL CHECK (incarnation >= 1),
  active INTEGER NOT NULL,
  highest INTEGER NOT NULL,
  versions TEXT NOT NULL,
  removed TEXT NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE TABLE version (
  id INTEGER PRIMARY KEY,
  secret INTEGER NOT NULL REFERENCES secret (id),
  number INTEGER NOT NULL CHECK (number BETWEEN 1 AND 4294967295),
  incarnation INTEGER NOT NULL,
  added INTEGER NOT NULL REFERENCES change (revision),
  removed INTEGER REFERENCES change (revision),
  key_id INTEGER REFERENCES keyring_entry (id),
  wrapped_key BLOB,
  sealed BLOB,
  UNIQUE (secret, number),
  CHECK ((removed IS NULL) = (key_id IS NOT NULL)),
  CHECK ((removed IS NULL) = (wrapped_key IS NOT NULL)),
  CHECK ((removed IS NULL) = (sealed IS NOT NULL))
) STRICT;
CREATE TABLE wrap_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'remove')),
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX change_secret ON change (secret);
INSERT INTO meta VALUES (1,'0123456789abcdef0123456789abcdef',0,'2026-01-02T03:04:05.678Z',8,42,'000000000000000000000000000000000000000000000000000000000000002a',0);
INSERT INTO keyring_entry VALUES (1,'2026-01-02T03:04:05.678Z','retiring',x'6b65792031');
INSERT INTO keyring_entry VALUES (2,'2026-01-03T03:04:05.678Z','active',x'6b65792032');
INSERT INTO root_wrap VALUES (1,'local','f-local','2026-01-02T03:04:05.678Z',x'77726170706564206279206c6f63616c','2026-02-01T00:00:00.043Z');
INSERT INTO root_wrap VALUES (3,'recovery','f-recovery','2026-02-01T00:00:00.041Z',x'77726170706564206279207265636f76657279',NULL);
INSERT INTO secret VALUES (1,'a',1,1,3,'1,3','2',x'5b959545adaf288c9e8023d0b23c793674fc8005f3d0af4eda2878e25bbec23c');
INSERT INTO secret VALUES (2,'b',1,0,1,'','1',x'2e66682bd1a30eaf1072e16dc61e6d0c3a6c38df87c243d630d4dec77b65ac38');
INSERT INTO change VALUES (1,1,'0000000000000000000000000000000000000000000000000000000000000001','append',1,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.001Z');
INSERT INTO change VALUES (2,2,'0000000000000000000000000000000000000000000000000000000000000002','append',2,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.002Z');
INSERT INTO change VALUES (3,3,'0000000000000000000000000000000000000000000000000000000000000003','append',1,1,2,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.003Z');
INSERT INTO change VALUES (4,4,'0000000000000000000000000000000000000000000000000000000000000004','append',1,1,3,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.004Z');
INSERT INTO change VALUES (5,5,'0000000000000000000000000000000000000000000000000000000000000005','remove-version',1,1,2,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.005Z');
INSERT INTO change VALUES (6,6,'0000000000000000000000000000000000000000000000000000000000000006','remove',2,1,NULL,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.006Z');
INSERT INTO version VALUES (1,1,1,1,1,NULL,2,x'777261707065642076616c75652031',x'7365616c65642076616c75652031');
INSERT INTO version VALUES (2,2,1,1,2,6,NULL,NULL,NULL);
INSERT INTO version VALUES (3,1,2,1,3,5,NULL,NULL,NULL);
INSERT INTO version VALUES (4,1,3,1,4,NULL,2,x'777261707065642076616c75652033',x'7365616c65642076616c75652033');
INSERT INTO wrap_change VALUES (7,41,'0000000000000000000000000000000000000000000000000000000000000029','add','recovery','f-recovery','root@host','2026-02-01T00:00:00.041Z');
INSERT INTO wrap_change VALUES (8,42,'000000000000000000000000000000000000000000000000000000000000002a','remove','age','f-age','root@host','2026-02-01T00:00:00.042Z');
