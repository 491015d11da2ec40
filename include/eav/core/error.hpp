// An error that C++ code throws and the guard turns into the server's.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct Error : std::exception {
  Error(const char* code, std::string text, std::string more = {}, std::string advice = {})
      : sqlstate(code),
        message(std::move(text)),
        detail(std::move(more)),
        hint(std::move(advice)) {}

  const char* what() const noexcept override { return message.c_str(); }

  const char* sqlstate;  // five characters, static
  std::string message;
  std::string detail;  // may be empty
  std::string hint;    // may be empty
};

}  // namespace eav::core
