// Buffers, the context that owns the connections, and the device that makes it; see transport.h.
#ifdef HEARTH_GLOO
#include "transport.h"

#include <stdexcept>
#include <utility>

namespace hearth::transport {

void Core::fail(Failure reason) {
  if (failure) return;
  failure = std::move(reason);
  for (Pair* pair : pairs) {
    pair->end(*failure);
    pair->outgoing().notify_all();
  }
  changed.notify_all();
}

void Core::throwIfFailed() const {
  if (failure) throw std::runtime_error(failure->what);
}

namespace {

std::string listOf(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  return text;
}

class Buffer final : public ::gloo::transport::UnboundBuffer {
 public:
  Buffer(std::shared_ptr<Context> context, void* data, size_t size) : UnboundBuffer(data, size), context_(std::move(context)) {
    loan_->data = static_cast<char*>(data);
    loan_->size = size;
  }

  /** The memory is the caller's again: what is still on its way must stop first. */
  ~Buffer() override {
    Core& core = context_->core();
    std::unique_lock<std::mutex> lock(core.mutex);
    loan_->recalled = true;
    if (loan_->inUse > 0) core.fail({"an operation was given up in the middle", {}});
    core.changed.wait(lock, [&] { return loan_->inUse == 0; });
  }

  bool waitRecv(int* rank, std::chrono::milliseconds timeout) override {
    Core& core = context_->core();
    std::unique_lock<std::mutex> lock(core.mutex);
    wait(lock, timeout, loan_->received, loan_->abortReceive, loan_->sources);
    if (std::exchange(loan_->abortReceive, false)) return false;
    --loan_->received;
    if (rank != nullptr) *rank = loan_->receivedFrom;
    return true;
  }

  bool waitSend(int* rank, std::chrono::milliseconds timeout) override {
    Core& core = context_->core();
    std::unique_lock<std::mutex> lock(core.mutex);
    wait(lock, timeout, loan_->sent, loan_->abortSend, loan_->destinations);
    if (std::exchange(loan_->abortSend, false)) return false;
    --loan_->sent;
    if (rank != nullptr) *rank = loan_->sentTo;
    return true;
  }

  void abortWaitRecv() override { abort(loan_->abortReceive); }
  void abortWaitSend() override { abort(loan_->abortSend); }

  void send(int rank, uint64_t slot, size_t offset, size_t bytes) override {
    std::lock_guard<std::mutex> lock(context_->core().mutex);
    context_->core().throwIfFailed();
    loan_->destinations.push_back(rank);
    context_->pairWith(rank).post(slot, part(offset, bytes));
  }

  void recv(int rank, uint64_t slot, size_t offset, size_t bytes) override {
    std::lock_guard<std::mutex> lock(context_->core().mutex);
    context_->core().throwIfFailed();
    loan_->sources.push_back(rank);
    context_->pairWith(rank).await(slot, part(offset, bytes));
  }

  void recv(std::vector<int> ranks, uint64_t slot, size_t offset, size_t bytes) override {
    if (ranks.size() != 1) throw std::logic_error("a message is received from one member");
    recv(ranks.front(), slot, offset, bytes);
  }

 private:
  Transfer part(size_t offset, size_t bytes) const {
    if (offset > size) throw std::logic_error("a message lies outside its buffer");
    if (bytes == kUnspecifiedByteCount) bytes = size - offset;
    if (bytes > size - offset) throw std::logic_error("a message lies outside its buffer");
    return {loan_, offset, bytes};
  }

  void abort(bool& flag) {
    std::lock_guard<std::mutex> lock(context_->core().mutex);
    flag = true;
    context_->core().changed.notify_all();
  }

  void wait(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout, const int& done, const bool& aborted, const std::vector<int>& waitedFor) {
    Core& core = context_->core();
    if (timeout == ::gloo::transport::kUnsetTimeout) timeout = context_->getTimeout();
    const auto over = [&] { return core.failure || aborted || done > 0; };
    if (!core.changed.wait_for(lock, timeout, over)) {
      const std::string late = waitedFor.empty() ? "the others" : listOf(waitedFor);
      core.fail({"no sign of " + late + " for " + std::to_string(timeout.count()) + " ms", waitedFor});
    }
    if (done == 0) core.throwIfFailed();
  }

  const std::shared_ptr<Context> context_;
  const std::shared_ptr<Loan> loan_ = std::make_shared<Loan>();
};

}  // namespace

Context::Context(std::shared_ptr<Core> core, std::shared_ptr<Listener> listener, int rank, int size)
    : ::gloo::transport::Context(rank, size), core_(std::move(core)), listener_(std::move(listener)) {}

Context::~Context() { pairs_.clear(); }

std::unique_ptr<::gloo::transport::Pair>& Context::createPair(int peer) {
  pairs_[static_cast<size_t>(peer)] = std::make_unique<Pair>(core_, listener_, rank, peer, getTimeout());
  return pairs_[static_cast<size_t>(peer)];
}

std::unique_ptr<::gloo::transport::UnboundBuffer> Context::createUnboundBuffer(void* data, size_t size) {
  return std::make_unique<Buffer>(shared_from_this(), data, size);
}

Device::Device(const std::string& address) : listener_(std::make_shared<Listener>(address)) {}

std::shared_ptr<::gloo::transport::Context> Device::createContext(int rank, int size) {
  return std::make_shared<Context>(core_, listener_, rank, size);
}

void Device::fail(Failure failure) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->fail(std::move(failure));
}

std::optional<Failure> Device::failure() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->failure;
}

}  // namespace hearth::transport
#endif
