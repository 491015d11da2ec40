// Tickets as their holders see them. What a ticket is made of counts the calls and transactions of
// all tenants; the number that is given out tells nothing of it.
#pragma once

#include "eav/core/ticket.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::ingest {

// Reads the key of this database, once per backend and extension; before ticket_number(), which
// must not raise. function: of the extension, as long as it lives.
void learn_ticket_key(Oid function);

// Not negative, and below 2^62; the lowest bit is that of the ticket.
int64 ticket_number(const core::Ticket& ticket);

// The ticket of a number, which may be any. Reads the key.
core::Ticket ticket_of(int64 number);

}  // namespace eav::ingest
