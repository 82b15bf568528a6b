-- +goose Up
-- One register of Idempotency-Keys for statements and for calls passed on to backends. A key is reserved before a byte
-- goes to a backend; the row then says whether the call is going on, how it was answered, or that nobody knows.

DROP INDEX idempotency_keys_age;
ALTER TABLE idempotency_keys RENAME TO idempotency_keys_0001;
CREATE TABLE idempotency_keys (
  org_id         TEXT NOT NULL,
  application_id TEXT NOT NULL,
  environment    TEXT NOT NULL,
  operation      TEXT NOT NULL,
  key            TEXT NOT NULL,
  fingerprint    TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('in_progress', 'in_doubt', 'done')),
  status         BIGINT NOT NULL, -- of the answer; 0 while it is not known
  header         JSON NOT NULL,
  body           BYTEA NOT NULL,
  lease_id       TEXT NOT NULL, -- who reserved the key last
  lease_until    BIGINT NOT NULL, -- microseconds; a reservation not settled by then is in doubt
  created_at     BIGINT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'session',
  PRIMARY KEY (org_id, application_id, environment, operation, key)
);
-- The first release wrote the environment before the operation: "live/orders/v1/claimOrder".
INSERT INTO idempotency_keys (org_id, application_id, environment, operation, key, fingerprint, state, status, header, body,
  lease_id, lease_until, created_at)
SELECT org_id, application_id, CASE WHEN operation LIKE 'live/%' THEN 'live' ELSE 'sandbox' END,
  CASE WHEN operation LIKE 'live/%' THEN substr(operation, 6) WHEN operation LIKE 'sandbox/%' THEN substr(operation, 9) ELSE operation END,
  key, fingerprint, 'done', status, header, body, '', 0, created_at
FROM idempotency_keys_0001;
DROP TABLE idempotency_keys_0001;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_open ON idempotency_keys (lease_until) WHERE state = 'in_progress';
