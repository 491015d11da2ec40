-- What producers get wrong, among events that are right.
\pset footer off
SELECT accepted, rejected, ticket IS NOT NULL AS has_ticket
FROM eav.ingest($$
    {"tenant_id": 2, "entity": "ci", "observed_at": "2018-02-07T00:00:00Z", "attributes": {"mag": 1.5}}
    {"tenant_id": 2, "entity": "ci", "observed_at": "2018-02-07T00:00:00Z", "colour": "red", "attributes": {"mag": 2.5}}
$$);
