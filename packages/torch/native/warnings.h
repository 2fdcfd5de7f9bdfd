// What libtorch warns of on a thread is collected here and said by JavaScript, in Node's way: libtorch itself would write
// to stderr in the middle of whatever is shown there.
#pragma once
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <string>
#include <vector>

namespace hearth {

class WarningCollector final : public c10::WarningHandler {
 public:
#if TORCH_VERSION_MAJOR >= 2
  void process(const c10::Warning& warning) override { pending.push_back(warning.msg()); }
  void listenOnThisThread() { c10::WarningUtils::set_warning_handler(this); }
  ~WarningCollector() override { c10::WarningUtils::set_warning_handler(nullptr); }
#else
  void process(const c10::SourceLocation&, const std::string& message, const bool) override { pending.push_back(message); }
  void listenOnThisThread() { c10::Warning::set_warning_handler(this); }
  ~WarningCollector() override { c10::Warning::set_warning_handler(nullptr); }
#endif

  std::vector<std::string> pending;
};

}  // namespace hearth
