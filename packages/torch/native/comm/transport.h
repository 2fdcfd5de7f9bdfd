// The wire under Gloo: one TCP connection between each two members. Gloo's own lets any stranger who reaches its port in,
// ends the process at a message that it did not expect, and cannot be interrupted; this one opens a connection only to the
// holder of a random token told through the directory, takes frames of a fixed form, and turns whatever happens into one
// failure of the whole context, which every waiting operation throws. Not here: what is sent (Gloo's algorithms).
#pragma once
#include <gloo/transport/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/unbound_buffer.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "listener.h"

namespace hearth::transport {

class Pair;

/** Why a context is over. */
struct Failure {
  std::string what;
  /** The members to whom it is due, as far as that is known. */
  std::vector<int> peers;
  /** It is none: this member goes with nothing left to do, and the others may go on without it. */
  bool left = false;
};

/** What all connections and buffers of a context share. One lock guards everything: frames are few and large. */
struct Core {
  std::mutex mutex;
  /** Told when an operation completes and when the context fails. */
  std::condition_variable changed;
  std::optional<Failure> failure;
  std::vector<Pair*> pairs;

  /** Ends all connections and wakes everyone; only the first failure counts. The lock must be held. */
  void fail(Failure reason);
  /** The lock must be held. */
  void throwIfFailed() const;
};

/** Memory that a buffer lends to the connections, and how far they are with it. */
struct Loan {
  char* data = nullptr;
  size_t size = 0;
  int received = 0, sent = 0;
  int receivedFrom = -1, sentTo = -1;
  /** The members that have yet to send into it, and to take from it. */
  std::vector<int> sources, destinations;
  bool abortReceive = false, abortSend = false;
  /** Connections that are reading or writing it at this moment. */
  int inUse = 0;
  /** The buffer is no more: its memory must not be touched. */
  bool recalled = false;
};

/** A part of a loan that is on its way. */
struct Transfer {
  std::shared_ptr<Loan> loan;
  size_t offset = 0, bytes = 0;
};

/** A frame's head. What follows a Data frame is `bytes` of payload; the others have none. */
struct Head {
  uint32_t kind = 0;
  /** Bye: the member that the failure is due to, or kNobody from one that leaves in peace. */
  uint32_t member = 0;
  uint64_t slot = 0;
  uint64_t bytes = 0;
};
constexpr uint32_t kNobody = 0xffffffff;
enum Kind : uint32_t { Ready = 0x48520001, Data = 0x48520002, Bye = 0x48520003 };

/** The connection with one other member. */
class Pair final : public ::gloo::transport::Pair {
 public:
  Pair(std::shared_ptr<Core> core, std::shared_ptr<Listener> listener, int own, int peer, std::chrono::milliseconds timeout);
  ~Pair() override;

  const ::gloo::transport::Address& address() const override { return address_; }
  void connect(const std::vector<char>& bytes) override;
  void close() override;
  /** A loan's part goes out when the other side is ready for it. The lock must be held. */
  void post(uint64_t slot, Transfer transfer);
  /** Tells the other side that there is room for a message. The lock must be held. */
  void await(uint64_t slot, Transfer transfer);
  /** Says why, where that cannot be mistaken for payload, and ends the connection. The lock must be held. */
  void end(const Failure& failure);
  std::condition_variable& outgoing() { return outgoingChanged_; }

  // Gloo's older interface, which no collective of c10d uses.
  void setSync(bool, bool) override;
  std::unique_ptr<::gloo::transport::Buffer> createSendBuffer(int, void*, size_t) override;
  std::unique_ptr<::gloo::transport::Buffer> createRecvBuffer(int, void*, size_t) override;
  void send(::gloo::transport::UnboundBuffer*, uint64_t, size_t, size_t) override;
  void recv(::gloo::transport::UnboundBuffer*, uint64_t, size_t, size_t) override;

 private:
  struct Outgoing {
    Head head;
    Transfer transfer;
  };
  int open(const Address& remote);
  int takeAccepted(const Address& remote);
  void start();
  void readLoop();
  void writeLoop();
  bool readFrame();
  bool makeReady(uint64_t slot);
  bool readPayload(const Head& head);
  bool readAll(void* data, size_t bytes);
  bool writeFrame(const Outgoing& frame);
  void failFrom(std::string what);
  void failAfterLeave();

  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Listener> listener_;
  const int own_, peer_;
  const std::chrono::milliseconds timeout_;
  const Address address_;
  int socket_ = -1;
  /** A connection that the listener accepted; -1 until then. */
  int accepted_ = -1;
  bool writing_ = false;
  /** The other side said that it leaves. */
  bool left_ = false;
  std::condition_variable outgoingChanged_;
  std::deque<Outgoing> outgoing_;
  std::map<uint64_t, std::deque<Transfer>> unsent_, awaited_;
  /** How many messages the other side has room for, by slot. */
  std::map<uint64_t, int> ready_;
  std::thread reader_, writer_;
};

class Context final : public ::gloo::transport::Context, public std::enable_shared_from_this<Context> {
 public:
  Context(std::shared_ptr<Core> core, std::shared_ptr<Listener> listener, int rank, int size);
  ~Context() override;
  std::unique_ptr<::gloo::transport::Pair>& createPair(int rank) override;
  std::unique_ptr<::gloo::transport::UnboundBuffer> createUnboundBuffer(void* data, size_t size) override;
  Pair& pairWith(int rank) { return static_cast<Pair&>(*getPair(rank)); }
  Core& core() { return *core_; }

 private:
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Listener> listener_;
};

/** Makes the one context of a group. */
class Device final : public ::gloo::transport::Device {
 public:
  explicit Device(const std::string& address);
  std::string str() const override { return "hearth"; }
  const std::string& getPCIBusID() const override { return noBus_; }
  std::shared_ptr<::gloo::transport::Context> createContext(int rank, int size) override;
  /** All connections are open: no further ones are taken. */
  void stopListening() { listener_->stop(); }
  /** Ends the context that is there or will be. */
  void fail(Failure failure);
  std::optional<Failure> failure();

 private:
  const std::shared_ptr<Core> core_ = std::make_shared<Core>();
  const std::shared_ptr<Listener> listener_;
  const std::string noBus_;
};

}  // namespace hearth::transport
