// Letters from any thread to the JavaScript thread, which opens them one by one.
#pragma once
#include <functional>
#include <mutex>

#include "../convert.h"

namespace hearth {

class Mailbox {
 public:
  using Letter = std::function<void(napi_env)>;

  explicit Mailbox(napi_env env) {
    napi_value name;
    check(napi_create_string_utf8(env, "hearth", NAPI_AUTO_LENGTH, &name));
    check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, open, &function_));
    check(napi_unref_threadsafe_function(env, function_));
  }
  ~Mailbox() { close(); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /** Any thread. A letter to a closed box is dropped. */
  void post(Letter letter) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    auto* kept = new Letter(std::move(letter));
    if (napi_call_threadsafe_function(function_, kept, napi_tsfn_nonblocking) == napi_ok) return;
    delete kept;
    closed_ = true;
  }

  /** Whether the process stays alive for letters to come. The JavaScript thread. */
  void keepAlive(napi_env env, bool alive) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    if (alive)
      napi_ref_threadsafe_function(env, function_);
    else
      napi_unref_threadsafe_function(env, function_);
  }

  /** What was posted is still opened. The JavaScript thread, before its environment ends. */
  void close() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) napi_release_threadsafe_function(function_, napi_tsfn_release);
    closed_ = true;
  }

 private:
  static void open(napi_env env, napi_value, void*, void* data) {
    Letter* letter = static_cast<Letter*>(data);
    try {
      if (env != nullptr) (*letter)(env);
    } catch (const PendingException&) {
      // The environment is ending: there is nobody to tell.
    }
    delete letter;
  }

  std::mutex mutex_;
  bool closed_ = false;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace hearth
