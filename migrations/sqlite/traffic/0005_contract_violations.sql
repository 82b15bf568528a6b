-- +goose Up
-- What calls broke of their contracts, counted by place, and the business numbers calls carried.

CREATE TABLE contract_violations (
  org_id      TEXT NOT NULL, -- '' for a backend's answers, and for requests of unknown callers
  backend     TEXT NOT NULL, -- '' for requests
  environment TEXT NOT NULL,
  api         TEXT NOT NULL,
  version     TEXT NOT NULL,
  operation   TEXT NOT NULL,
  direction   TEXT NOT NULL CHECK (direction IN ('request', 'response')),
  pointer     TEXT NOT NULL, -- names of the contract only, '*' for the rest
  keyword     TEXT NOT NULL,
  calls       INTEGER NOT NULL,
  refused     INTEGER NOT NULL,
  first_seen  INTEGER NOT NULL, -- Unix microseconds
  last_seen   INTEGER NOT NULL,
  sample      TEXT NOT NULL, -- the request id of the last call
  retention   TEXT NOT NULL DEFAULT 'telemetry',
  PRIMARY KEY (org_id, backend, environment, api, version, operation, direction, pointer, keyword)
) STRICT;

CREATE TABLE call_refs (
  org_id    TEXT NOT NULL,
  scheme    TEXT NOT NULL,
  value     TEXT NOT NULL,
  call_id   TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  retention TEXT NOT NULL DEFAULT 'telemetry',
  PRIMARY KEY (org_id, scheme, value, call_id)
) STRICT;
CREATE INDEX call_refs_call ON call_refs (call_id);

-- Records named the operation by its route ("orders/v1/claimOrder"); they name it as the contract does.
UPDATE calls SET operation = substr(operation, length(api) + length(version) + 3)
  WHERE api <> '' AND substr(operation, 1, length(api) + length(version) + 2) = api || '/' || version || '/';
UPDATE usage_hourly SET operation = substr(operation, length(api) + length(version) + 3)
  WHERE api <> '' AND substr(operation, 1, length(api) + length(version) + 2) = api || '/' || version || '/';
