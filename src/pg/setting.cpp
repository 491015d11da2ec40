// eav._setting(): a setting of the extension, also in a session that has not loaded the library
// yet.
#include "eav/pg/guard.hpp"

EAV_FUNCTION(eav_setting) {
  const char* const name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  PG_RETURN_TEXT_P(cstring_to_text(GetConfigOptionByName(name, nullptr, false)));
}
