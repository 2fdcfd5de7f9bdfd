// Sending on a blocking socket.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <string>

namespace hearth::transport {

/** Sends all parts, which it uses up; false, with errno, when the connection failed. */
inline bool sendAll(int socket, iovec* parts, size_t count) {
  while (count > 0) {
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    while (count > 0 && static_cast<size_t>(sent) >= parts->iov_len) {
      sent -= static_cast<ssize_t>(parts->iov_len);
      ++parts, --count;
    }
    if (count > 0) {
      parts->iov_base = static_cast<char*>(parts->iov_base) + sent;
      parts->iov_len -= static_cast<size_t>(sent);
    }
  }
  return true;
}

inline std::string nameOf(int peer) { return "rank " + std::to_string(peer); }

}  // namespace hearth::transport
