// Work on our tables for a caller who has no rights on them.
#pragma once

#include "eav/pg/guard.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Of a relation.
Oid owner_of(Oid relation);

struct Caller {
  Oid user;
  int security_context;
  int guc_nest;
};
Caller become_owner(Oid relation);
void become(const Caller& caller);

// Runs body with the rights of the relation's owner and a search_path of ours, as a SECURITY
// DEFINER function would. Such a function pays for it with each call, also when it touches no
// table. An error leaves it to the end of the (sub)transaction to put things back, as it does
// there.
template <typename Body>
void as_owner(Oid relation, Body&& body) {
  const Caller caller = become_owner(relation);
  body();
  become(caller);
}

}  // namespace eav::pg
