-- +goose Up
-- What callers have used of calendar quotas: counted in memory, written behind.

CREATE TABLE quota_uses (
  org_id         TEXT NOT NULL,
  application_id TEXT NOT NULL,
  environment    TEXT NOT NULL,
  plan           TEXT NOT NULL,
  quota          TEXT NOT NULL,
  starts         INTEGER NOT NULL, -- first instant of the calendar window, Unix seconds
  ends           INTEGER NOT NULL, -- first instant after it
  used           INTEGER NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'telemetry',
  PRIMARY KEY (org_id, application_id, environment, plan, quota, starts)
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_uses_end ON quota_uses (ends);
