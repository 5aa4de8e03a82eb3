-- A store as schema 6 has it: tables, rows and marks of the file.
PRAGMA application_id = 1397707855;
PRAGMA user_version = 6;
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
CREATE TABLE keyring_entry (
  id INTEGER PRIMARY KEY,
  created_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retiring')),
  sealed BLOB NOT NULL
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
  sealed BLOB, backend INTEGER REFERENCES backend (id)
  CHECK (backend IS NULL OR removed IS NULL),
  UNIQUE (secret, number),
  CHECK ((removed IS NULL) = (key_id IS NOT NULL)),
  CHECK ((removed IS NULL) = (wrapped_key IS NOT NULL)),
  CHECK ((removed IS NULL) = (sealed IS NOT NULL))
) STRICT;
CREATE TABLE keyring_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'move', 'erase')),
  entry INTEGER NOT NULL,
  versions INTEGER CHECK ((versions IS NULL) = (verb <> 'move')),
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE wrap_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('add', 'remove', 'rewrap')),
  provider TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE backend (
  id INTEGER PRIMARY KEY CHECK (id >= 1),
  name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  description TEXT NOT NULL,
  is_default INTEGER UNIQUE CHECK (is_default = 1),
  config TEXT NOT NULL,
  created_at TEXT NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE TABLE backend_change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN ('create', 'edit', 'delete')),
  backend INTEGER NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE leftover (
  id INTEGER PRIMARY KEY,
  backend INTEGER NOT NULL REFERENCES backend (id),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER NOT NULL,
  waits INTEGER NOT NULL CHECK (waits IN (0, 1)),
  UNIQUE (backend, secret, incarnation, version)
) STRICT;
CREATE TABLE change (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  verb TEXT NOT NULL CHECK (verb IN
    ('append', 'activate', 'remove-version', 'remove', 'reserve', 'fill', 'rehome')),
  secret INTEGER NOT NULL REFERENCES secret (id),
  incarnation INTEGER NOT NULL,
  version INTEGER CHECK ((version IS NULL) = (verb IN ('remove', 'rehome'))),
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE restore (
  revision INTEGER PRIMARY KEY,
  audit_id INTEGER NOT NULL UNIQUE,
  audit_hash TEXT NOT NULL,
  backup TEXT NOT NULL,
  taken_at TEXT NOT NULL,
  taken_revision INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  by TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE mirror (
  backend INTEGER PRIMARY KEY REFERENCES backend (id) ON DELETE CASCADE,
  cursor INTEGER NOT NULL,
  scope TEXT NOT NULL,
  place TEXT,
  checked_at TEXT
) STRICT;
CREATE TABLE mirrored (
  id INTEGER PRIMARY KEY,
  backend INTEGER NOT NULL REFERENCES mirror (backend) ON DELETE CASCADE,
  secret INTEGER NOT NULL REFERENCES secret (id),
  state TEXT NOT NULL CHECK (state IN ('due', 'ok', 'failed', 'drift', 'kept', 'left')),
  reason TEXT NOT NULL,
  since TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  retry_at TEXT,
  shown TEXT,
  intended TEXT,
  leaves TEXT NOT NULL,
  UNIQUE (backend, secret)
) STRICT;
CREATE INDEX version_key ON version (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX backend_change_backend ON backend_change (backend);
CREATE INDEX version_backend ON version (backend, secret) WHERE backend IS NOT NULL;
CREATE INDEX leftover_secret ON leftover (secret, version);
CREATE INDEX change_secret ON change (secret);
CREATE INDEX mirrored_state ON mirrored (backend, state);
INSERT INTO meta VALUES (1,'0123456789abcdef0123456789abcdef',0,'2026-01-02T03:04:05.678Z',15,101,'0000000000000000000000000000000000000000000000000000000000000065',0);
INSERT INTO keyring_entry VALUES (1,'2026-01-02T03:04:05.678Z','retiring',x'6b65792031');
INSERT INTO keyring_entry VALUES (2,'2026-01-03T03:04:05.678Z','retiring',x'6b65792032');
INSERT INTO keyring_entry VALUES (3,'2026-02-01T00:00:00.100Z','active',x'6b65792033');
INSERT INTO root_wrap VALUES (1,'local','f-local','2026-01-02T03:04:05.678Z',x'77726170706564206279206c6f63616c',NULL);
INSERT INTO backend VALUES (1,'vault','openbao','',NULL,'{"url":"https://bao.example.com:8200","mount":"secret","pathPrefix":"sotto","tokenSecretRef":{"name":"backends/vault"},"mirror":{"secrets":["prod/*"],"history":"all","onDrift":"report","onDelete":"keep"}}','2026-02-01T00:00:00.001Z',x'6d6163206f662031');
INSERT INTO backend VALUES (2,'other','openbao','',NULL,'{"url":"https://bao.example.com:8200","mount":"secret","pathPrefix":"sotto","tokenSecretRef":{"name":"backends/vault"},"mirror":{"secrets":["prod/*"],"history":"all","onDrift":"report","onDelete":"keep"}}','2026-02-01T00:00:00.002Z',x'6d6163206f662032');
INSERT INTO secret VALUES (1,'prod/a',1,3,3,'1,3','2',x'8fecaa0e7aaf1269e21f24964c7a8129391e969f10b49b4b37651e98ba427ae8');
INSERT INTO secret VALUES (2,'prod/b',1,1,1,'1','',x'71c195c5ece8a60cd491558a655326ef625ae491456ca3c006092c04e4a2ce9d');
INSERT INTO secret VALUES (3,'dev/c',1,1,1,'1','',x'2be5e4ecb8e5f700b12d2471fc82ad02f84920ba9d9a4b0879f64f7f0115cd64');
INSERT INTO secret VALUES (4,'gone',1,0,1,'','1',x'0b258eca3785546941ece69abe63ff77bf230f2279081e943df92a0c28d19acc');
INSERT INTO secret VALUES (5,'kept',1,1,1,'1','',x'b296c89e5dc42a2f93b66887fb93a8b93f13fb3f88c88e66c3203378d370f2b4');
INSERT INTO change VALUES (3,3,'0000000000000000000000000000000000000000000000000000000000000003','append',1,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.003Z');
INSERT INTO change VALUES (4,4,'0000000000000000000000000000000000000000000000000000000000000004','append',1,1,2,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.004Z');
INSERT INTO change VALUES (5,5,'0000000000000000000000000000000000000000000000000000000000000005','append',1,1,3,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.005Z');
INSERT INTO change VALUES (6,6,'0000000000000000000000000000000000000000000000000000000000000006','activate',1,1,3,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.006Z');
INSERT INTO change VALUES (7,7,'0000000000000000000000000000000000000000000000000000000000000007','append',2,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.007Z');
INSERT INTO change VALUES (8,8,'0000000000000000000000000000000000000000000000000000000000000008','append',3,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.008Z');
INSERT INTO change VALUES (9,9,'0000000000000000000000000000000000000000000000000000000000000009','append',4,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.009Z');
INSERT INTO change VALUES (10,10,'000000000000000000000000000000000000000000000000000000000000000a','remove-version',1,1,2,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.010Z');
INSERT INTO change VALUES (11,11,'000000000000000000000000000000000000000000000000000000000000000b','remove',4,1,NULL,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.011Z');
INSERT INTO change VALUES (12,12,'000000000000000000000000000000000000000000000000000000000000000c','reserve',5,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.012Z');
INSERT INTO change VALUES (13,13,'000000000000000000000000000000000000000000000000000000000000000d','fill',5,1,1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.013Z');
INSERT INTO version VALUES (1,1,1,1,3,NULL,2,x'777261707065642076616c75652031',x'7365616c65642076616c75652031',NULL);
INSERT INTO version VALUES (2,1,2,1,4,10,NULL,NULL,NULL,NULL);
INSERT INTO version VALUES (3,1,3,1,5,NULL,2,x'777261707065642076616c75652033',x'7365616c65642076616c75652033',NULL);
INSERT INTO version VALUES (4,2,1,1,7,NULL,2,x'777261707065642076616c75652031',x'7365616c65642076616c75652031',NULL);
INSERT INTO version VALUES (5,3,1,1,8,NULL,2,x'777261707065642076616c75652031',x'7365616c65642076616c75652031',NULL);
INSERT INTO version VALUES (6,4,1,1,9,11,NULL,NULL,NULL,NULL);
INSERT INTO version VALUES (7,5,1,1,13,NULL,2,x'777261707065642076616c75652031',x'7365616c65642076616c75652031',2);
INSERT INTO keyring_change VALUES (14,100,'0000000000000000000000000000000000000000000000000000000000000064','add',3,NULL,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.100Z');
INSERT INTO wrap_change VALUES (15,101,'0000000000000000000000000000000000000000000000000000000000000065','remove','age','f-age','root','2026-02-01T00:00:00.101Z');
INSERT INTO backend_change VALUES (1,1,'0000000000000000000000000000000000000000000000000000000000000001','create',1,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.001Z');
INSERT INTO backend_change VALUES (2,2,'0000000000000000000000000000000000000000000000000000000000000002','create',2,'{"hostname":"laptop","ip":"100.64.0.1","user":"alice@example.com"}','2026-02-01T00:00:00.002Z');
INSERT INTO leftover VALUES (1,1,2,1,1,1);
INSERT INTO mirror VALUES (1,10,'[["prod/*"],"all"]','kv_1','2026-02-01T00:00:00.009Z');
INSERT INTO mirror VALUES (2,4,'[["dev/*"],"none"]','kv_2',NULL);
INSERT INTO mirrored VALUES (1,1,1,'ok','','2026-02-01T00:00:00.009Z',0,NULL,'{"revision":3,"incarnation":1,"version":3,"fingerprint":"abababababababababababababababababababababababababababababababab"}',NULL,'1-3');
INSERT INTO mirrored VALUES (2,1,2,'due','','2026-02-01T00:00:00.008Z',0,NULL,NULL,NULL,'');
INSERT INTO mirrored VALUES (3,1,4,'kept','it was deleted here','2026-02-01T00:00:00.009Z',0,NULL,'{"revision":1,"incarnation":1,"version":1,"fingerprint":"abababababababababababababababababababababababababababababababab"}',NULL,'1');
INSERT INTO mirrored VALUES (4,2,3,'failed','it is sealed','2026-02-01T00:00:00.009Z',2,'2026-02-01T00:00:00.099Z',NULL,'{"revision":3,"incarnation":1,"version":3,"fingerprint":"abababababababababababababababababababababababababababababababab"}','');
