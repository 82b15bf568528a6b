-- +goose Up
-- Live call records and usage: written with synchronous=NORMAL, apart from the truth in portway.db.

CREATE TABLE calls (
  id                TEXT PRIMARY KEY,
  client_request_id TEXT NOT NULL,
  received          INTEGER NOT NULL,
  org_id            TEXT NOT NULL, -- '' when the caller is unknown
  application_id    TEXT NOT NULL,
  credential_id     TEXT NOT NULL,
  environment       TEXT NOT NULL,
  api               TEXT NOT NULL,
  version           TEXT NOT NULL,
  operation         TEXT NOT NULL,
  method            TEXT NOT NULL,
  path              TEXT NOT NULL,
  status            INTEGER NOT NULL,
  code              TEXT NOT NULL,
  duration          INTEGER NOT NULL, -- microseconds
  upstream          INTEGER NOT NULL, -- microseconds
  bytes_in          INTEGER NOT NULL,
  bytes_out         INTEGER NOT NULL,
  event_id          TEXT NOT NULL,
  trail             TEXT NOT NULL CHECK (json_valid(trail)),
  violations        TEXT NOT NULL CHECK (json_valid(violations)),
  retention         TEXT NOT NULL DEFAULT 'telemetry'
) STRICT;
CREATE INDEX calls_org ON calls (org_id, received, id);
CREATE INDEX calls_application ON calls (org_id, application_id, received, id);

CREATE TABLE usage_hourly (
  org_id         TEXT NOT NULL,
  hour           INTEGER NOT NULL, -- Unix microseconds of its start
  application_id TEXT NOT NULL,
  environment    TEXT NOT NULL,
  api            TEXT NOT NULL,
  version        TEXT NOT NULL,
  operation      TEXT NOT NULL,
  calls          INTEGER NOT NULL,
  failed         INTEGER NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'telemetry',
  PRIMARY KEY (org_id, hour, application_id, environment, api, version, operation)
) STRICT, WITHOUT ROWID;
