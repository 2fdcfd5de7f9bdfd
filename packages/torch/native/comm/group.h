// One membership in a group: a thread of its own runs the collectives in the order of their calls, so that JavaScript's
// never waits; every call is a promise. Whatever ends one operation ends the group: the rest is rejected with the same
// reason, and the process joins another group. Not here: how members find each other (src/rendezvous.ts).
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "collectives.h"
#include "mailbox.h"

namespace hearth {

class Group {
 public:
  /** `ask(id, key, value | undefined)` sets or gets a key of the directory; answer() says how that went. */
  Group(napi_env env, napi_value ask, const MeshOptions& options);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  const Place& place() const { return place_; }
  /** Resolves when all members are connected. */
  napi_value join(napi_env env);
  /** Resolves with the tensors that the call makes. */
  napi_value run(napi_env env, Call call);
  napi_value transfer(napi_env env, at::Tensor tensor, int peer, bool sends);
  /** Resolves when everything asked for is done and the connections are closed. */
  napi_value leave(napi_env env);
  /** What is under way ends with this reason, now. */
  void abort(const std::string& reason);
  void answer(int64_t id, std::vector<uint8_t> value, const std::string& error);

 private:
  struct State;
  const Place place_;
  const std::shared_ptr<State> state_;
  const napi_env env_;
  std::thread lane_;
  /** Messages so far, by peer. */
  std::map<int, int> sent_, received_;
  void shutDown();
  static void shutDownOf(void* group);
};

}  // namespace hearth
