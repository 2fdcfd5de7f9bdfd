// How a connection opens: the one with the higher rank calls, and both show the token that the other told through the
// directory. See transport.h.
#ifdef HEARTH_GLOO
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "socket.h"
#include "transport.h"

namespace hearth::transport {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTickMilliseconds = 20;

/** Waits until a socket can be read or written; false when the time is over or the context has failed. */
bool waitFor(int socket, short events, Core& core, Clock::time_point until) {
  for (;;) {
    pollfd watched{socket, events, 0};
    if (poll(&watched, 1, kTickMilliseconds) > 0) return true;
    std::lock_guard<std::mutex> lock(core.mutex);
    if (core.failure || Clock::now() > until) return false;
  }
}

/**
 * A machine that is gone, or cut off, says nothing: the system asks on our behalf, also while nothing is sent, and ends the
 * connection after about five seconds without an answer. A process that only works for long answers all the same.
 */
void noticeSilence(int socket) {
  const auto set = [&](int level, int option, int value) { setsockopt(socket, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
  set(IPPROTO_TCP, TCP_KEEPIDLE, 1);
#endif
  set(IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
#ifdef TCP_USER_TIMEOUT
  // Milliseconds: for what was sent and is not acknowledged.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 4500);
#endif
}

}  // namespace

void Pair::connect(const std::vector<char>& bytes) {
  const Address remote(bytes);
  const int socket = own_ > peer_ ? open(remote) : takeAccepted(remote);
  noticeSilence(socket);
  std::lock_guard<std::mutex> lock(core_->mutex);
  socket_ = socket;
  core_->throwIfFailed();
  start();
}

int Pair::open(const Address& remote) {
  const auto until = Clock::now() + timeout_;
  const int socket = ::socket(remote.where().ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto give = [&](const std::string& why) {
    if (socket >= 0) ::close(socket);
    failFrom("no connection with " + nameOf(peer_) + " at " + remote.str() + ": " + why);
  };
  if (socket < 0) give(std::strerror(errno));
  int error = 0;
  socklen_t length = sizeof error;
  const auto* where = reinterpret_cast<const sockaddr*>(&remote.where());
  if (::connect(socket, where, remote.length()) != 0 && errno != EINPROGRESS) give(std::strerror(errno));
  if (!waitFor(socket, POLLOUT, *core_, until)) give("it does not answer");
  getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) give(std::strerror(error));
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK);
  iovec hello{const_cast<char*>(remote.token().data()), remote.token().size()};
  if (!sendAll(socket, &hello, 1)) give(std::strerror(errno));
  Token answer{};
  for (size_t heard = 0; heard < answer.size();) {
    if (!waitFor(socket, POLLIN, *core_, until)) give("it does not answer");
    const ssize_t count = ::recv(socket, answer.data() + heard, answer.size() - heard, 0);
    if (count == 0 || (count < 0 && errno != EINTR)) give("it hung up");
    if (count > 0) heard += static_cast<size_t>(count);
  }
  if (answer != address_.token()) give("another program answers there");
  return socket;
}

int Pair::takeAccepted(const Address& remote) {
  std::unique_lock<std::mutex> lock(core_->mutex);
  const bool came = core_->changed.wait_for(lock, timeout_, [&] { return core_->failure || accepted_ >= 0; });
  core_->throwIfFailed();
  const int socket = accepted_;
  accepted_ = -1;
  lock.unlock();
  if (!came) failFrom(nameOf(peer_) + " did not connect");
  iovec answer{const_cast<char*>(remote.token().data()), remote.token().size()};
  if (!sendAll(socket, &answer, 1)) {
    ::close(socket);
    failFrom(nameOf(peer_) + " hung up");
  }
  return socket;
}

}  // namespace hearth::transport
#endif
