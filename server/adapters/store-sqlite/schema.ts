/** The tables of one database file, and why they are so. Everything sealed is sealed by the vault (docs/encryption.md says what is not). */

/** Raised with every change of a table; a file of a newer version is refused. */
export const SCHEMA_VERSION = 2;

/** `PRAGMA application_id`: "Crnt". */
export const APPLICATION_ID = 0x43726e74;

/** Row numbers fit in this many bits of a `term` key: 268 million versions in one file. */
export const ROW_BITS = 28;
export const MAX_ROW = 2 ** ROW_BITS - 1;

export const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

-- Types ('List') and the parameters of a type ('List.title') as small numbers.
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

-- Everybody who owns something or has a space. 'self' is the hash of 'ref'. 'entry' is the space entry as JSON, sealed, null when there is no
-- space; the next three columns are the same entry as a query sees it (like those of 'resource').
CREATE TABLE person (
  id INTEGER PRIMARY KEY, self INTEGER NOT NULL UNIQUE, ref TEXT NOT NULL, entry BLOB,
  marks BLOB NOT NULL DEFAULT x'', hashes BLOB NOT NULL DEFAULT x'', ranges BLOB NOT NULL DEFAULT (jsonb('{}')));

-- One small row for each resource, and no body: what a search walks over stays in the page cache.
-- 'rid' is the number of its first version, 'self' the hash of 'Type/id', 'vid' the current version. Any condition on a known row is
-- answered from that row: 'marks' holds the 64-bit hashes of its guard terms (parameters that begin with '_'), which every query asks
-- about, 'hashes' those of the other terms; 'keys' and 'ranges' are objects by the hash of the parameter, in SQLite's binary JSON, of the few
-- parameters whose values are not sealed (facets.ts); 'sealed' holds all the others, and every string.
CREATE TABLE resource (
  rid INTEGER PRIMARY KEY, self INTEGER NOT NULL UNIQUE, type INTEGER NOT NULL, owner INTEGER, deleted INTEGER NOT NULL,
  updated INTEGER NOT NULL, vid INTEGER NOT NULL, id TEXT NOT NULL,
  marks BLOB NOT NULL, keys BLOB NOT NULL, hashes BLOB NOT NULL, ranges BLOB NOT NULL, sealed BLOB NOT NULL);
CREATE INDEX resource_owner ON resource (type, owner);

-- Every version, the current one included: a first version costs its body once, and a new one copies nothing.
-- 'prev' leads to the version before, which makes the history a chain and needs no index. 'sealed' is the filing record and the body.
CREATE TABLE version (
  vid INTEGER PRIMARY KEY, prev INTEGER, no TEXT NOT NULL, updated INTEGER NOT NULL,
  deleted INTEGER NOT NULL, owner INTEGER, sealed BLOB NOT NULL);

-- The inverted index, used to find the rows a query starts from and for nothing else. One integer: 35 bits of the term's hash,
-- then 28 bits of the row ('resource.rid', or 'person.id' for a term of a space entry). A third smaller than (hash, rid).
CREATE TABLE term (key INTEGER PRIMARY KEY);
-- Terms (35 bits) that so large a part of their type has that starting from them saves nothing: they get no rows in 'term' any more.
CREATE TABLE common (head INTEGER PRIMARY KEY);

-- References, both ways: 'target' is the hash of the 'Type/id' in a term 'param=Type/id'.
-- By 'rid' for the step from a resource to what it names, by 'target' for the step back and for a search by reference.
CREATE TABLE link (rid INTEGER NOT NULL, param INTEGER NOT NULL, target INTEGER NOT NULL, PRIMARY KEY (rid, param, target)) WITHOUT ROWID;
CREATE INDEX link_target ON link (target, param);

-- Hashes of the beginnings of each string, for starts-with.
CREATE TABLE str (head INTEGER NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (head, rid)) WITHOUT ROWID;

-- Resources whose rows in 'term', 'link' and 'str' are still to be written; 'starts' is what 'hashes' cannot give back, as numbers and hashes.
CREATE TABLE pending (type INTEGER NOT NULL, rid INTEGER NOT NULL, starts TEXT NOT NULL, PRIMARY KEY (type, rid)) WITHOUT ROWID;

-- Bytes. 'upload' names a staged upload; it is null once a version has taken the bytes over, which moves nothing. Each blob has a key of its
-- own, which lies in memory alone until a person's key can seal it ('content'): a staged upload is nobody's, and unreadable after a crash.
CREATE TABLE blob (id INTEGER PRIMARY KEY, upload TEXT UNIQUE, started INTEGER NOT NULL, size INTEGER);
-- 'key' = blob * 2^20 + number of the chunk.
CREATE TABLE chunk (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
-- 'sealed': the key of the blob, its size and its SHA-1, for 'owner', who is that of the resource as it is now.
CREATE TABLE content (
  vid INTEGER PRIMARY KEY REFERENCES version (vid), blob INTEGER NOT NULL REFERENCES blob (id), owner INTEGER, sealed BLOB NOT NULL);
CREATE INDEX content_blob ON content (blob);
`;
