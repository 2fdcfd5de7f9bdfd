// See listener.h.
#ifdef HEARTH_GLOO
#include "listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace hearth::transport {

namespace {

constexpr auto kPatience = std::chrono::seconds(5);
constexpr size_t kMostVisitors = 256;
constexpr int kTickMilliseconds = 20;

[[noreturn]] void failAt(const std::string& what, const std::string& address) {
  throw std::runtime_error("cannot " + what + " " + address + ": " + std::strerror(errno));
}

sockaddr_storage resolve(const std::string& address) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE;
  const int status = getaddrinfo(address.c_str(), nullptr, &wanted, &found);
  if (status != 0) throw std::runtime_error("cannot find the address " + address + ": " + gai_strerror(status));
  sockaddr_storage where{};
  std::memcpy(&where, found->ai_addr, std::min<size_t>(found->ai_addrlen, sizeof where));
  freeaddrinfo(found);
  return where;
}

}  // namespace

Token randomToken() {
  Token token;
  if (getentropy(token.data(), token.size()) != 0) throw std::runtime_error("the system has no random numbers");
  return token;
}

Address::Address(const std::vector<char>& bytes) {
  if (bytes.size() != sizeof where_ + token_.size()) throw std::runtime_error("a member's address is malformed");
  std::memcpy(&where_, bytes.data(), sizeof where_);
  std::memcpy(token_.data(), bytes.data() + sizeof where_, token_.size());
  if (where_.ss_family != AF_INET && where_.ss_family != AF_INET6) throw std::runtime_error("a member's address is malformed");
}

std::string Address::str() const {
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  getnameinfo(reinterpret_cast<const sockaddr*>(&where_), length(), host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return std::string(host) + ":" + port;
}

std::vector<char> Address::bytes() const {
  std::vector<char> bytes(sizeof where_ + token_.size());
  std::memcpy(bytes.data(), &where_, sizeof where_);
  std::memcpy(bytes.data() + sizeof where_, token_.data(), token_.size());
  return bytes;
}

Listener::Listener(const std::string& address) : where_(resolve(address)) {
  socket_ = socket(where_.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) failAt("listen on", address);
  socklen_t length = where_.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  auto* where = reinterpret_cast<sockaddr*>(&where_);
  if (bind(socket_, where, length) != 0 || listen(socket_, SOMAXCONN) != 0 || getsockname(socket_, where, &length) != 0) {
    ::close(socket_);
    failAt("listen on", address);
  }
  thread_ = std::thread(&Listener::run, this);
}

Listener::~Listener() { stop(); }

void Listener::stop() {
  if (over_.exchange(true)) return;
  thread_.join();
  ::close(socket_);
}

void Listener::expect(const Token& token, Accept accept) {
  std::lock_guard<std::mutex> lock(mutex_);
  expected_.emplace(token, std::move(accept));
}

void Listener::forget(const Token& token) {
  std::lock_guard<std::mutex> lock(mutex_);
  expected_.erase(token);
}

void Listener::run() {
  std::vector<Visitor> visitors;
  while (!over_) {
    std::vector<pollfd> watched{{socket_, POLLIN, 0}};
    for (const Visitor& visitor : visitors) watched.push_back({visitor.socket, POLLIN, 0});
    poll(watched.data(), watched.size(), kTickMilliseconds);
    const auto now = std::chrono::steady_clock::now();
    for (size_t i = visitors.size(); i-- > 0;) {
      const bool stays = (watched[i + 1].revents == 0 || hear(visitors[i])) && now < visitors[i].until;
      if (stays) continue;
      if (visitors[i].socket >= 0) ::close(visitors[i].socket);
      visitors.erase(visitors.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (watched[0].revents != 0) takeVisitor(visitors);
  }
  for (const Visitor& visitor : visitors) ::close(visitor.socket);
}

void Listener::takeVisitor(std::vector<Visitor>& visitors) {
  const int socket = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return;
  if (visitors.size() < kMostVisitors)
    visitors.push_back({socket, "", std::chrono::steady_clock::now() + kPatience});
  else
    ::close(socket);
}

/** False when the visitor is done with: its socket is -1 if somebody took it. */
bool Listener::hear(Visitor& visitor) {
  Token token;
  const ssize_t count = recv(visitor.socket, token.data(), token.size() - visitor.said.size(), 0);
  if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
  visitor.said.append(token.data(), static_cast<size_t>(count));
  if (visitor.said.size() < token.size()) return true;
  std::copy(visitor.said.begin(), visitor.said.end(), token.begin());
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = expected_.find(token);
  if (found == expected_.end()) return false;
  // A token opens one connection.
  const Accept accept = std::move(found->second);
  expected_.erase(found);
  fcntl(visitor.socket, F_SETFL, fcntl(visitor.socket, F_GETFL) & ~O_NONBLOCK);
  accept(visitor.socket);
  visitor.socket = -1;
  return false;
}

}  // namespace hearth::transport
#endif
