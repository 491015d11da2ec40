// eav.explain_find(): what eav.find_entities() would do, as rows.
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/row.hpp"
#include "eav/query/find.hpp"
#include "eav/settings.hpp"

namespace eav::query {

namespace {

using core::FilterNode;
using Kind = FilterNode::Kind;

// So many entities are counted at most.
constexpr int64 max_count = 100000;

struct Row {
  const char* node;
  const Attribute* attribute;
  const char* access;
  Oid index;
  std::optional<int64> estimate;
  const char* detail;
};

class Explain {
 public:
  Explain(int64 tenant_id, JsonPath* path, const text* order_by, ReturnSetInfo* result)
      : result_(result),
        tenant_id_(tenant_id),
        attributes_(tenant_id),
        documents_(attributes_),
        filter_(make_filter(path, attributes_)),
        order_(make_order(order_by, attributes_)) {}

  void run() {
    const Plan plan = make_plan(filter_, order_, tenant_id_);
    put_source(plan);
    close_plan(plan);
    put_node(*filter_.tree, 1);
    if (filter_.path != nullptr) {
      put({"recheck", nullptr, "document", InvalidOid, std::nullopt,
           filter_.needs_whole ? "the filter, on the whole document of each candidate"
                               : "the filter, on the attributes that it names of each candidate"});
    }
    if (order_.is_by_value) {
      put_order(plan);
    }
    documents_.close();
    attributes_.close();
  }

 private:
  void put(const Row& row);
  void put_source(const Plan& plan);
  void put_scan();
  void put_node(const FilterNode& node, int depth);
  void put_condition(const FilterNode& node, const char* name);
  void put_stream(const Stream& stream, const Attribute& attribute, const char* name);
  void put_order(const Plan& plan);

  ReturnSetInfo* result_;
  int64 tenant_id_;
  Attributes attributes_;
  Documents documents_;  // not asked for any, but keeps their tables open: indexes stay
  Filter filter_;
  Order order_;
  int32 step_ = 0;
};

void Explain::put(const Row& row) {
  const char* const index = OidIsValid(row.index) ? get_rel_name(row.index) : nullptr;
  const auto text_or_null = [](const char* string) {
    return string != nullptr ? pg::text(string) : pg::Column::null();
  };
  pg::put_row(result_,
              {pg::Column(Int32GetDatum(++step_)), pg::text(row.node),
               row.attribute != nullptr ? pg::text(row.attribute->name) : pg::Column::null(),
               row.attribute != nullptr ? pg::text(core::name_of(row.attribute->projection))
                                        : pg::Column::null(),
               text_or_null(row.access), text_or_null(index),
               row.estimate ? pg::Column(Int64GetDatum(*row.estimate)) : pg::Column::null(),
               text_or_null(row.detail)});
}

void Explain::put_source(const Plan& plan) {
  if (plan.finds_nothing) {
    put({"find", nullptr, "none", InvalidOid, 0, "no entity can meet the filter"});
  } else if (plan.is_scan) {
    put_scan();
  } else if (plan.in_order) {
    put({"find", nullptr, "order", plan.in_order->index, std::nullopt,
         "reads entities in the order asked for until the page is full"});
  } else if (plan.stream == nullptr) {
    put({"find", nullptr, "walk", InvalidOid, count_entities(tenant_id_, max_count),
         "walks entities until the page is full"});
  } else {
    const std::optional<int64> estimate = plan.stream->estimate > 0 || !plan.stream->is_more
                                              ? std::optional(plan.stream->estimate)
                                              : std::nullopt;
    put({"find", nullptr, "index", InvalidOid, estimate,
         is_costly(*plan.stream)
             ? "walks entities as long as that promises to fill the page, then asks the indexes"
             : "asks the indexes for candidates until the page is full"});
  }
}

void Explain::put_scan() {
  const int64 most = settings.max_scan_entities;
  const int64 count = count_entities(tenant_id_, most < 0 ? max_count : most + 1);
  put({"find", nullptr, "walk", InvalidOid, count,
       most >= 0 && count > most
           ? "no index answers it: eav.find_entities() raises an error, as the tenant has more "
             "entities than eav.max_scan_entities"
           : "no index answers it: looks at every entity of the tenant"});
}

void Explain::put_node(const FilterNode& node, int depth) {
  const auto indented = [&](const char* name) { return psprintf("%*s%s", depth * 2, "", name); };
  switch (node.kind) {
    case Kind::nothing:
      return;
    case Kind::anything:
      if (filter_.path != nullptr) {
        put({indented("condition"), nullptr, "recheck", InvalidOid, std::nullopt,
             "no index knows anything about it"});
      }
      return;
    case Kind::condition:
      put_condition(node, indented("condition"));
      return;
    case Kind::all_of:
    case Kind::any_of:
      put({indented(node.kind == Kind::all_of ? "all of" : "any of"), nullptr, nullptr, InvalidOid,
           std::nullopt, nullptr});
      for (const FilterNode* child = node.first; child != nullptr; child = child->next) {
        put_node(*child, depth + 1);
      }
  }
}

void Explain::put_condition(const FilterNode& node, const char* name) {
  const Attribute& attribute = *filter_.attribute(node.condition.attribute);
  Stream* const stream = open_stream(node, filter_, tenant_id_);
  if (stream != nullptr) {
    put_stream(*stream, attribute, name);
    close_stream(stream);
    return;
  }
  put({name, &attribute, "recheck", InvalidOid, std::nullopt,
       attribute.tiers.live ? "projection live has no index"
                            : "eav.create_attribute_index() would help"});
}

void Explain::put_stream(const Stream& stream, const Attribute& attribute, const char* name) {
  switch (stream.kind) {
    case Stream::Kind::gin:
      put({name, &attribute, "gin", pg::index_oid("entity_jsonb", "entity_jsonb_hot_attrs_idx"),
           std::nullopt, "all matches of all tenants are looked up at once"});
      return;
    case Stream::Kind::point:
    case Stream::Kind::range:
      put({name, &attribute, stream.kind == Stream::Kind::point ? "index" : "index range",
           stream.scan->index(), stream.estimate, stream.is_more ? "there are more" : nullptr});
      return;
    default:
      for (const Stream* const child : stream.children) {
        put_stream(*child, attribute, name);
      }
  }
}

void Explain::put_order(const Plan& plan) {
  const char* const detail = order_.attribute == nullptr ? "no entity has a value"
                             : plan.in_order             ? "entities without a value come last"
                                             : "keeps the first ones of all that meet the filter";
  put({"order", order_.attribute, plan.in_order ? "index" : "sort",
       plan.in_order ? plan.in_order->index : InvalidOid, std::nullopt, detail});
}

}  // namespace

}  // namespace eav::query

EAV_FUNCTION(eav_explain_find) {
  using namespace eav::query;
  const int64 tenant_id = tenant_of(fcinfo);
  InitMaterializedSRF(fcinfo, 0);
  Explain(tenant_id, PG_ARGISNULL(1) ? nullptr : PG_GETARG_JSONPATH_P(1),
          PG_ARGISNULL(2) ? nullptr : PG_GETARG_TEXT_PP(2),
          reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo))
      .run();
  return Datum(0);
}
