// The connection with one other member: the two threads that read and write its frames. How it opens is
// in opening.cc; see transport.h.
#ifdef HEARTH_GLOO
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "socket.h"
#include "transport.h"

namespace hearth::transport {

namespace {

/** So that one system call does not hold a buffer for long after the connection was ended. */
constexpr size_t kLargestRead = size_t{8} << 20;

void erase(std::vector<int>& list, int value) {
  for (auto it = list.begin(); it != list.end(); ++it)
    if (*it == value) return void(list.erase(it));
}

}  // namespace

Pair::Pair(std::shared_ptr<Core> core, std::shared_ptr<Listener> listener, int own, int peer, std::chrono::milliseconds timeout)
    : core_(std::move(core)), listener_(std::move(listener)), own_(own), peer_(peer), timeout_(timeout), address_(listener_->where(), randomToken()) {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    core_->pairs.push_back(this);
  }
  listener_->expect(address_.token(), [this](int socket) {
    std::lock_guard<std::mutex> lock(core_->mutex);
    accepted_ = socket;
    core_->changed.notify_all();
  });
}

Pair::~Pair() {
  listener_->forget(address_.token());
  close();
  if (reader_.joinable()) reader_.join();
  if (writer_.joinable()) writer_.join();
  std::lock_guard<std::mutex> lock(core_->mutex);
  for (auto it = core_->pairs.begin(); it != core_->pairs.end(); ++it)
    if (*it == this) {
      core_->pairs.erase(it);
      break;
    }
  if (socket_ >= 0) ::close(socket_);
  if (accepted_ >= 0) ::close(accepted_);
}

/** Fails the context and throws. */
void Pair::failFrom(std::string what) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->fail({std::move(what), {peer_}});
  core_->throwIfFailed();
}

void Pair::start() {
  reader_ = std::thread(&Pair::readLoop, this);
  writer_ = std::thread(&Pair::writeLoop, this);
}

void Pair::close() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->fail({"the connections were closed", {}});
}

void Pair::end(const Failure& failure) {
  if (socket_ < 0) return;
  const bool says = failure.left || !failure.peers.empty();
  // In the middle of a frame it would be taken for payload.
  if (says && !writing_) {
    const Head bye{Bye, failure.left ? kNobody : static_cast<uint32_t>(failure.peers.front()), 0, 0};
    ::send(socket_, &bye, sizeof bye, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  shutdown(socket_, SHUT_RDWR);
}

void Pair::post(uint64_t slot, Transfer transfer) {
  if (left_) return failAfterLeave();
  const auto ready = ready_.find(slot);
  if (ready == ready_.end()) {
    unsent_[slot].push_back(std::move(transfer));
    return;
  }
  if (--ready->second == 0) ready_.erase(ready);
  const Head head{Data, 0, slot, transfer.bytes};
  outgoing_.push_back({head, std::move(transfer)});
  outgoingChanged_.notify_one();
}

void Pair::await(uint64_t slot, Transfer transfer) {
  if (left_) return failAfterLeave();
  outgoing_.push_back({{Ready, 0, slot, transfer.bytes}, {}});
  awaited_[slot].push_back(std::move(transfer));
  outgoingChanged_.notify_one();
}

void Pair::failAfterLeave() { core_->fail({nameOf(peer_) + " has left the group", {peer_}}); }

void Pair::writeLoop() {
  std::unique_lock<std::mutex> lock(core_->mutex);
  for (;;) {
    outgoingChanged_.wait(lock, [&] { return core_->failure || !outgoing_.empty(); });
    if (core_->failure) return;
    const Outgoing frame = std::move(outgoing_.front());
    outgoing_.pop_front();
    const auto& loan = frame.transfer.loan;
    if (loan != nullptr && loan->recalled) return core_->fail({"an operation was given up in the middle", {}});
    if (loan != nullptr) ++loan->inUse;
    writing_ = true;
    lock.unlock();
    const bool written = writeFrame(frame);
    lock.lock();
    writing_ = false;
    if (loan != nullptr) --loan->inUse;
    if (loan != nullptr && written) {
      ++loan->sent;
      loan->sentTo = peer_;
      erase(loan->destinations, peer_);
    }
    core_->changed.notify_all();
    // The reader learns more of a connection that ends: whether the other side said why.
    if (!written) return;
  }
}

bool Pair::writeFrame(const Outgoing& frame) {
  iovec parts[2] = {{const_cast<Head*>(&frame.head), sizeof frame.head}, {nullptr, 0}};
  if (frame.transfer.loan != nullptr) parts[1] = {frame.transfer.loan->data + frame.transfer.offset, frame.transfer.bytes};
  return sendAll(socket_, parts, frame.transfer.bytes > 0 ? 2 : 1);
}

void Pair::readLoop() {
  while (readFrame()) {
  }
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!left_) core_->fail({nameOf(peer_) + " is gone", {peer_}});
}

bool Pair::readFrame() {
  Head head;
  if (!readAll(&head, sizeof head)) return false;
  if (head.kind == Data) return readPayload(head);
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (head.kind == Ready) return makeReady(head.slot);
  if (head.kind == Bye && head.member == kNobody) {
    left_ = true;
    if (!unsent_.empty() || !awaited_.empty()) failAfterLeave();
  } else if (head.kind == Bye && head.member < (1u << 20) && static_cast<int>(head.member) != own_)
    core_->fail({nameOf(static_cast<int>(head.member)) + " is gone or late, says " + nameOf(peer_), {static_cast<int>(head.member)}});
  else
    core_->fail({nameOf(peer_) + (head.kind == Bye ? " has waited for this member in vain" : " sends what is no message"), {peer_}});
  return false;
}

/** The other side has room for a message: the one that waits for that, or the next. */
bool Pair::makeReady(uint64_t slot) {
  ++ready_[slot];
  const auto unsent = unsent_.find(slot);
  if (unsent == unsent_.end()) return true;
  Transfer transfer = std::move(unsent->second.front());
  unsent->second.pop_front();
  if (unsent->second.empty()) unsent_.erase(unsent);
  post(slot, std::move(transfer));
  return true;
}

bool Pair::readPayload(const Head& head) {
  Transfer transfer;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    const auto awaited = awaited_.find(head.slot);
    if (awaited == awaited_.end() || awaited->second.front().bytes != head.bytes) {
      core_->fail({nameOf(peer_) + " sends " + std::to_string(head.bytes) + " bytes that nobody waits for", {peer_}});
      return false;
    }
    transfer = std::move(awaited->second.front());
    awaited->second.pop_front();
    if (awaited->second.empty()) awaited_.erase(awaited);
    if (transfer.loan->recalled) {
      core_->fail({"an operation was given up in the middle", {}});
      return false;
    }
    ++transfer.loan->inUse;
  }
  const bool complete = readAll(transfer.loan->data + transfer.offset, transfer.bytes);
  std::lock_guard<std::mutex> lock(core_->mutex);
  --transfer.loan->inUse;
  if (complete) {
    ++transfer.loan->received;
    transfer.loan->receivedFrom = peer_;
    erase(transfer.loan->sources, peer_);
  }
  core_->changed.notify_all();
  return complete;
}

bool Pair::readAll(void* data, size_t bytes) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::recv(socket_, at, std::min(bytes, kLargestRead), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    bytes -= static_cast<size_t>(count);
  }
  return true;
}

namespace {
[[noreturn]] void refuse() { throw std::logic_error("only unbound buffers are sent here"); }
}  // namespace

void Pair::setSync(bool, bool) { refuse(); }
std::unique_ptr<::gloo::transport::Buffer> Pair::createSendBuffer(int, void*, size_t) { refuse(); }
std::unique_ptr<::gloo::transport::Buffer> Pair::createRecvBuffer(int, void*, size_t) { refuse(); }
void Pair::send(::gloo::transport::UnboundBuffer*, uint64_t, size_t, size_t) { refuse(); }
void Pair::recv(::gloo::transport::UnboundBuffer*, uint64_t, size_t, size_t) { refuse(); }

}  // namespace hearth::transport
#endif
