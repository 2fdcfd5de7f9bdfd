// The port that a member listens on while its group forms. A connection counts only when it shows one of the tokens that
// somebody here waits for: all others are closed without a word, and whoever connects and stays silent is in nobody's way.
#pragma once
#include <gloo/transport/address.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace hearth::transport {

using Token = std::array<char, 32>;
Token randomToken();

/** Where one member is reached by one other, and the token that opens this door. */
class Address final : public ::gloo::transport::Address {
 public:
  Address(const sockaddr_storage& where, const Token& token) : where_(where), token_(token) {}
  explicit Address(const std::vector<char>& bytes);
  std::string str() const override;
  std::vector<char> bytes() const override;
  const sockaddr_storage& where() const { return where_; }
  socklen_t length() const { return where_.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
  const Token& token() const { return token_; }

 private:
  sockaddr_storage where_{};
  Token token_{};
};

class Listener {
 public:
  using Accept = std::function<void(int socket)>;
  /** Listens on a free port of an address of this machine. */
  explicit Listener(const std::string& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const sockaddr_storage& where() const { return where_; }
  /** Calls `accept`, once and on the listener's thread, with the connection that shows the token. */
  void expect(const Token& token, Accept accept);
  /** Nobody is let in any more. */
  void stop();
  /** When it returns, `accept` of that token is not running and will not be called. */
  void forget(const Token& token);

 private:
  struct Visitor {
    int socket;
    std::string said;
    std::chrono::steady_clock::time_point until;
  };
  void run();
  void takeVisitor(std::vector<Visitor>& visitors);
  bool hear(Visitor& visitor);

  sockaddr_storage where_{};
  int socket_ = -1;
  std::atomic<bool> over_{false};
  std::mutex mutex_;
  std::map<Token, Accept> expected_;
  std::thread thread_;
};

}  // namespace hearth::transport
