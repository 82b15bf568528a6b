-- +goose Up
-- Who may do what. Names are unique inside the organisation; what the request path looks up is unique everywhere.

-- The two separate worlds. Credentials, subscriptions and connections belong to one of them.
CREATE TABLE environments (
  id        TEXT PRIMARY KEY,
  name      TEXT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference'
);
INSERT INTO environments (id, name) VALUES ('sandbox', 'Sandbox'), ('live', 'Live');

CREATE TABLE organisations (
  id        TEXT PRIMARY KEY,
  slug      TEXT NOT NULL UNIQUE,
  name      TEXT NOT NULL,
  kind      TEXT NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  zone      TEXT NOT NULL,
  origin    TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev       BIGINT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference'
);

CREATE TABLE sites (
  id        TEXT PRIMARY KEY,
  org_id    TEXT NOT NULL REFERENCES organisations (id),
  code      TEXT NOT NULL,
  name      TEXT NOT NULL,
  gln       TEXT NOT NULL,
  zone      TEXT NOT NULL,
  cut_off   TEXT NOT NULL,
  origin    TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev       BIGINT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, code)
);

CREATE TABLE brands (
  id            TEXT PRIMARY KEY,
  org_id        TEXT NOT NULL REFERENCES organisations (id),
  code          TEXT NOT NULL,
  name          TEXT NOT NULL,
  business_unit TEXT NOT NULL,
  origin        TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev           BIGINT NOT NULL,
  retention     TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, code)
);

CREATE TABLE applications (
  id        TEXT PRIMARY KEY,
  org_id    TEXT NOT NULL REFERENCES organisations (id),
  slug      TEXT NOT NULL,
  name      TEXT NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  origin    TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev       BIGINT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, slug)
);

CREATE TABLE credentials (
  id             TEXT PRIMARY KEY,
  org_id         TEXT NOT NULL REFERENCES organisations (id),
  application_id TEXT NOT NULL REFERENCES applications (id),
  environment    TEXT NOT NULL REFERENCES environments (id),
  kind           TEXT NOT NULL,
  client_id      TEXT NOT NULL UNIQUE,
  secret_hash    TEXT NOT NULL,
  last_four      TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  expires_at     BIGINT NOT NULL,
  created_at     BIGINT NOT NULL,
  origin         TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev            BIGINT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'reference'
);
CREATE INDEX credentials_org ON credentials (org_id);

CREATE TABLE subscriptions (
  id             TEXT PRIMARY KEY,
  org_id         TEXT NOT NULL REFERENCES organisations (id),
  application_id TEXT NOT NULL REFERENCES applications (id),
  api            TEXT NOT NULL,
  environment    TEXT NOT NULL REFERENCES environments (id),
  "plan"         TEXT NOT NULL,
  scopes         TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  origin         TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev            BIGINT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, application_id, api, environment)
);

CREATE TABLE connections (
  id                 TEXT PRIMARY KEY,
  org_id             TEXT NOT NULL REFERENCES organisations (id),
  slug               TEXT NOT NULL,
  environment        TEXT NOT NULL REFERENCES environments (id),
  format             TEXT NOT NULL,
  sender_qualifier   TEXT NOT NULL,
  sender_id          TEXT NOT NULL,
  receiver_qualifier TEXT NOT NULL,
  receiver_id        TEXT NOT NULL,
  zone               TEXT NOT NULL,
  documents          JSON NOT NULL,
  state              TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  origin             TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev                BIGINT NOT NULL,
  retention          TEXT NOT NULL DEFAULT 'reference',
  UNIQUE (org_id, slug),
  -- An identity pair names one partner: two organisations with one pair would read each other's documents.
  UNIQUE (environment, sender_qualifier, sender_id, receiver_qualifier, receiver_id)
);

CREATE TABLE accounts (
  id            TEXT PRIMARY KEY,
  org_id        TEXT NOT NULL REFERENCES organisations (id),
  email         TEXT NOT NULL UNIQUE,
  name          TEXT NOT NULL,
  role          TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
  origin        TEXT NOT NULL CHECK (origin IN ('file', 'portal')),
  rev           BIGINT NOT NULL,
  retention     TEXT NOT NULL DEFAULT 'reference'
);
CREATE INDEX accounts_org ON accounts (org_id);

CREATE TABLE sessions (
  id         TEXT PRIMARY KEY, -- SHA-256 of the cookie
  account_id TEXT NOT NULL REFERENCES accounts (id),
  org_id     TEXT NOT NULL,
  csrf       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  seen_at    BIGINT NOT NULL,
  retention  TEXT NOT NULL DEFAULT 'session'
);
CREATE INDEX sessions_org ON sessions (org_id, account_id);
CREATE INDEX sessions_end ON sessions (expires_at);

-- A writer locks the table against other writers until it commits, so that changes appear in the order of their
-- positions: a revocation must not wait for whatever else runs on the server.
CREATE TABLE changes (
  position  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind      TEXT NOT NULL,
  object_id TEXT NOT NULL, -- always the organisation
  retention TEXT NOT NULL DEFAULT 'reference'
);

-- What was received and what it stated.

-- Positions of events. A position is the transaction's id and a number within it, so that positions are in the order of
-- transaction ids: everything below the oldest transaction still running is complete, and no position can appear behind
-- one that a reader passed. A sequence could not promise that. shift grows when the data moves to a server whose
-- transaction ids are smaller.
CREATE TABLE log_shift (
  shift     BIGINT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference'
);
INSERT INTO log_shift (shift) VALUES (0);

-- +goose StatementBegin
CREATE FUNCTION log_position(n BIGINT) RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
  SELECT (pg_current_xact_id()::text::bigint + shift) * 65536 + n FROM log_shift
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION log_horizon() RETURNS BIGINT LANGUAGE sql STABLE AS $$
  SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + shift) * 65536 FROM log_shift
$$;
-- +goose StatementEnd

CREATE TABLE documents (
  id             TEXT PRIMARY KEY,
  org_id         TEXT NOT NULL, -- '' only when the sender is unknown
  environment    TEXT NOT NULL,
  application_id TEXT NOT NULL,
  connection     TEXT NOT NULL,
  format         TEXT NOT NULL,
  kind           TEXT NOT NULL,
  content_type   TEXT NOT NULL,
  raw            BYTEA NOT NULL,
  sha256         TEXT NOT NULL,
  request_id     TEXT NOT NULL,
  received       BIGINT NOT NULL,
  state          TEXT NOT NULL,
  reason         TEXT NOT NULL,
  detail         TEXT NOT NULL,
  duplicate_of   TEXT NOT NULL,
  ack            BYTEA NOT NULL,
  ack_status     TEXT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'transaction'
);
CREATE INDEX documents_org ON documents (org_id, received);

CREATE TABLE events (
  position       BIGINT PRIMARY KEY,
  id             TEXT NOT NULL UNIQUE,
  type           TEXT NOT NULL,
  source         TEXT NOT NULL,
  subject        TEXT NOT NULL,
  time           BIGINT NOT NULL,
  time_offset    BIGINT NOT NULL,
  time_zone      TEXT NOT NULL,
  recorded       BIGINT NOT NULL,
  org_id         TEXT NOT NULL,
  recipient_id   TEXT NOT NULL,
  environment    TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  causation_id   TEXT NOT NULL,
  partition_key  TEXT NOT NULL,
  sequence       BIGINT NOT NULL,
  refs           JSON NOT NULL,
  data           JSON NOT NULL,
  document_id    TEXT NOT NULL REFERENCES documents (id),
  state          TEXT NOT NULL CHECK (state IN ('accepted', 'conflict', 'parked')),
  reason         TEXT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'transaction'
);
CREATE INDEX events_feed ON events (recipient_id, environment, position);
CREATE INDEX events_process ON events (org_id, correlation_id, sequence);
CREATE INDEX events_document ON events (document_id);

-- Append-only: what was stated once is never changed, only followed by other statements.
-- +goose StatementBegin
CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% are append-only', TG_TABLE_NAME;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse_update();

CREATE TABLE event_refs (
  scheme    TEXT NOT NULL,
  value     TEXT NOT NULL,
  org_id    TEXT NOT NULL, -- who stated it
  scope     TEXT NOT NULL, -- who issued it, where the scheme alone does not say
  event_id  TEXT NOT NULL REFERENCES events (id),
  order_id  TEXT NOT NULL,
  retention TEXT NOT NULL DEFAULT 'transaction',
  PRIMARY KEY (scheme, value, org_id, scope, event_id)
);

CREATE TABLE orders (
  id           TEXT PRIMARY KEY,
  owner_id     TEXT NOT NULL,
  fulfiller_id TEXT NOT NULL,
  environment  TEXT NOT NULL,
  number       TEXT NOT NULL,
  state        TEXT NOT NULL,
  version      BIGINT NOT NULL,
  projection   JSON NOT NULL,
  updated      BIGINT NOT NULL,
  rev          BIGINT NOT NULL,
  retention    TEXT NOT NULL DEFAULT 'transaction',
  UNIQUE (owner_id, environment, number)
);
CREATE INDEX orders_fulfiller ON orders (fulfiller_id, environment, number);

CREATE TABLE business_keys (
  org_id      TEXT NOT NULL,
  environment TEXT NOT NULL,
  type        TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  event_id    TEXT NOT NULL REFERENCES events (id),
  retention   TEXT NOT NULL DEFAULT 'transaction',
  PRIMARY KEY (org_id, environment, type, key)
);

CREATE TABLE interchanges (
  connection_id TEXT NOT NULL,
  control       TEXT NOT NULL,
  org_id        TEXT NOT NULL,
  document_id   TEXT NOT NULL REFERENCES documents (id),
  retention     TEXT NOT NULL DEFAULT 'transaction',
  PRIMARY KEY (connection_id, control)
);

CREATE TABLE control_numbers (
  connection_id TEXT NOT NULL,
  kind          TEXT NOT NULL CHECK (kind IN ('interchange', 'group', 'set')),
  org_id        TEXT NOT NULL,
  last          BIGINT NOT NULL,
  retention     TEXT NOT NULL DEFAULT 'reference',
  PRIMARY KEY (connection_id, kind)
);

CREATE TABLE idempotency_keys (
  org_id         TEXT NOT NULL,
  application_id TEXT NOT NULL,
  operation      TEXT NOT NULL,
  key            TEXT NOT NULL,
  fingerprint    TEXT NOT NULL,
  status         BIGINT NOT NULL,
  header         JSON NOT NULL,
  body           BYTEA NOT NULL,
  created_at     BIGINT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'session',
  PRIMARY KEY (org_id, application_id, operation, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- The outbox. due_at is when a pending delivery may start, or when a leased one's lease expires.
CREATE TABLE deliveries (
  id            TEXT PRIMARY KEY,
  event_id      TEXT NOT NULL REFERENCES events (id),
  org_id        TEXT NOT NULL, -- who stated the event
  sequence      BIGINT NOT NULL, -- of the event; with position the order of start within route and partition key
  position      BIGINT NOT NULL,
  route         TEXT NOT NULL,
  lane          TEXT NOT NULL,
  partition_key TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('pending', 'leased', 'delivered', 'dead')),
  attempts      BIGINT NOT NULL,
  due_at        BIGINT NOT NULL,
  lease_id      TEXT NOT NULL,
  last_status   BIGINT NOT NULL,
  last_reason   TEXT NOT NULL,
  created       BIGINT NOT NULL,
  ended         BIGINT NOT NULL, -- 0 until delivered or dead
  rev           BIGINT NOT NULL,
  retention     TEXT NOT NULL DEFAULT 'delivery'
);
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_lane ON deliveries (lane, due_at) WHERE ended = 0;
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE ended = 0;
CREATE INDEX deliveries_key ON deliveries (route, partition_key, sequence, position) WHERE ended = 0;
CREATE INDEX deliveries_lease ON deliveries (lease_id) WHERE ended = 0;

CREATE TABLE delivery_attempts (
  delivery_id TEXT NOT NULL REFERENCES deliveries (id),
  number      BIGINT NOT NULL,
  org_id      TEXT NOT NULL,
  at          BIGINT NOT NULL,
  took        BIGINT NOT NULL,
  status      BIGINT NOT NULL,
  reason      TEXT NOT NULL,
  retention   TEXT NOT NULL DEFAULT 'delivery',
  PRIMARY KEY (delivery_id, number)
);

-- Call records and usage of both environments.

CREATE TABLE calls (
  id                TEXT PRIMARY KEY,
  client_request_id TEXT NOT NULL,
  received          BIGINT NOT NULL,
  org_id            TEXT NOT NULL, -- '' when the caller is unknown
  application_id    TEXT NOT NULL,
  credential_id     TEXT NOT NULL,
  environment       TEXT NOT NULL,
  api               TEXT NOT NULL,
  version           TEXT NOT NULL,
  operation         TEXT NOT NULL,
  method            TEXT NOT NULL,
  path              TEXT NOT NULL,
  status            BIGINT NOT NULL,
  code              TEXT NOT NULL,
  duration          BIGINT NOT NULL, -- microseconds
  upstream          BIGINT NOT NULL, -- microseconds
  bytes_in          BIGINT NOT NULL,
  bytes_out         BIGINT NOT NULL,
  event_id          TEXT NOT NULL,
  trail             JSON NOT NULL,
  violations        JSON NOT NULL,
  retention         TEXT NOT NULL DEFAULT 'telemetry'
);
CREATE INDEX calls_org ON calls (org_id, received, id);
CREATE INDEX calls_application ON calls (org_id, application_id, received, id);

CREATE TABLE usage_hourly (
  org_id         TEXT NOT NULL,
  hour           BIGINT NOT NULL, -- Unix microseconds of its start
  application_id TEXT NOT NULL,
  environment    TEXT NOT NULL,
  api            TEXT NOT NULL,
  version        TEXT NOT NULL,
  operation      TEXT NOT NULL,
  calls          BIGINT NOT NULL,
  failed         BIGINT NOT NULL,
  retention      TEXT NOT NULL DEFAULT 'telemetry',
  PRIMARY KEY (org_id, hour, application_id, environment, api, version, operation)
);

-- What the installation keeps for itself.

CREATE TABLE settings (
  key       TEXT PRIMARY KEY,
  value     BYTEA NOT NULL,
  retention TEXT NOT NULL DEFAULT 'reference'
);
