-- +goose Up
-- How callers prove themselves, from where they may call, who may act for whom, and what was revoked.

ALTER TABLE credentials ADD COLUMN public_keys TEXT NOT NULL DEFAULT ''; -- a JWK set of public keys, '' without
ALTER TABLE credentials ADD COLUMN thumbprints TEXT NOT NULL DEFAULT ''; -- SHA-256 of certificates, hexadecimal, separated by blanks
ALTER TABLE credentials ADD COLUMN subject TEXT NOT NULL DEFAULT '';     -- distinguished name a certificate must have, '' for any
ALTER TABLE credentials ADD COLUMN revoked_before INTEGER NOT NULL DEFAULT 0; -- tokens issued before are void; microseconds
-- Two callers with one API key would be one caller by chance.
CREATE UNIQUE INDEX credentials_key ON credentials (secret_hash) WHERE kind = 'api_key' AND secret_hash <> '';

CREATE TABLE address_rules (
  id             TEXT PRIMARY KEY,
  org_id         TEXT NOT NULL REFERENCES organisations (id),
  application_id TEXT NOT NULL REFERENCES applications (id),
  environment    TEXT NOT NULL CHECK (environment IN ('sandbox', 'live')),
  mode           TEXT NOT NULL CHECK (mode IN ('enforce', 'log', 'off')),
  allow          TEXT NOT NULL, -- prefixes, separated by blanks
  origin         TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev            INTEGER NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, application_id, environment)
) STRICT;

-- An organisation lets the application of a vendor act for it. The row belongs to the organisation that grants; it
-- names the vendor, which may come later, and gives nothing until then.
CREATE TABLE vendor_grants (
  id             TEXT PRIMARY KEY,
  org_id         TEXT NOT NULL REFERENCES organisations (id),
  vendor         TEXT NOT NULL, -- slug of its organisation
  application    TEXT NOT NULL, -- slug of its application
  environment    TEXT NOT NULL CHECK (environment IN ('sandbox', 'live')),
  scopes         TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  origin         TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev            INTEGER NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, vendor, application, environment)
) STRICT;

CREATE TABLE revoked_tokens (
  id         TEXT PRIMARY KEY, -- the token's jti
  org_id     TEXT NOT NULL,
  client_id  TEXT NOT NULL,
  revoked_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, -- when the token would have ended by itself
  retention  TEXT NOT NULL DEFAULT 'session'
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_end ON revoked_tokens (expires_at);

-- What may be presented once, such as client assertions: no organisation's data, a digest.
CREATE TABLE presented_once (
  key        TEXT PRIMARY KEY, -- SHA-256
  expires_at INTEGER NOT NULL,
  retention  TEXT NOT NULL DEFAULT 'session'
) STRICT, WITHOUT ROWID;
CREATE INDEX presented_once_end ON presented_once (expires_at);
