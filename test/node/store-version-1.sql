-- A memory as version 1 of its format wrote it (test/node/store.test.ts).
CREATE TABLE entry (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO entry VALUES
  ('abilities', 'a.example', '{"learnt":1763800000000,"errors":true}'),
  ('ratchet', 'in a.example', '{"runs":{}}'),
  ('ratchet', 'out b.example', '{"runs":{}}');
