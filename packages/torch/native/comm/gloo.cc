// A mesh by libtorch's c10d over Gloo, for CPU tensors; see mesh.h. It is compiled with HEARTH_GLOO where set-up found
// Gloo's headers beside a libtorch that was built with it, and stands in with an error where not.
#include "mesh.h"

#ifdef HEARTH_GLOO
#include <stdexcept>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "transport.h"

namespace hearth {

namespace {

/** c10d's view of a directory. */
class DirectoryStore final : public c10d::Store {
 public:
  explicit DirectoryStore(std::shared_ptr<Directory> directory) : directory_(std::move(directory)) {}
  void set(const std::string& key, const std::vector<uint8_t>& value) override { directory_->set(key, value); }
  std::vector<uint8_t> get(const std::string& key) override { return directory_->get(key); }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) directory_->get(key);
  }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds&) override { wait(keys); }
  // Gloo finds its peers without the others.
  int64_t add(const std::string&, int64_t) override { throw std::logic_error("the directory does not count"); }
  bool deleteKey(const std::string&) override { return false; }
  bool check(const std::vector<std::string>&) override { throw std::logic_error("the directory only waits"); }
  int64_t getNumKeys() override { throw std::logic_error("the directory does not count"); }

 private:
  std::shared_ptr<Directory> directory_;
};

c10d::ReduceOp::RedOpType reductionOf(Reduction reduction) {
  switch (reduction) {
    case Reduction::Min: return c10d::ReduceOp::MIN;
    case Reduction::Max: return c10d::ReduceOp::MAX;
    default: return c10d::ReduceOp::SUM;
  }
}

class GlooMesh final : public Mesh {
 public:
  explicit GlooMesh(const MeshOptions& options) : options_(options), device_(std::make_shared<transport::Device>(options.address)) {}

  // c10d waits for its queue to empty: what is in it must end first.
  ~GlooMesh() override { device_->fail({"the group was left", {}, true}); }

  void connect(std::shared_ptr<Directory> directory) override {
    auto options = c10d::ProcessGroupGloo::Options::create(options_.timeout);
    options->devices.push_back(device_);
    options->threads = 1;
    auto store = c10::make_intrusive<DirectoryStore>(std::move(directory));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), options_.rank, options_.size, std::move(options));
    device_->stopListening();
  }

  void broadcast(at::Tensor bytes, int root) override {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    std::vector<at::Tensor> tensors{bytes};
    group_->broadcast(tensors, options)->wait();
  }

  void allReduce(at::Tensor tensor, Reduction reduction) override {
    c10d::AllreduceOptions options;
    options.reduceOp = reductionOf(reduction);
    std::vector<at::Tensor> tensors{tensor};
    group_->allreduce(tensors, options)->wait();
  }

  void exchange(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& inputs, int tag) override {
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    const auto start = [&](const std::vector<at::Tensor>& tensors, bool sends) {
      // Each begins with the member after it, so that not all send to the same one at once.
      for (int i = 1; i < options_.size; ++i) {
        const int peer = (options_.rank + i) % options_.size;
        if (tensors.empty() || !tensors[peer].defined()) continue;
        std::vector<at::Tensor> message{tensors[peer]};
        works.push_back(sends ? group_->send(message, peer, tag) : group_->recv(message, peer, tag));
      }
    };
    start(outputs, false);
    start(inputs, true);
    for (const auto& work : works) work->wait();
  }

  void close(const MeshFailure& reason) override { device_->fail({reason.what, reason.peers, false}); }

  std::optional<MeshFailure> failure() override {
    const auto failure = device_->failure();
    if (!failure) return std::nullopt;
    return MeshFailure{failure->what, failure->peers};
  }

 private:
  const MeshOptions options_;
  const std::shared_ptr<transport::Device> device_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

bool hasGloo() { return true; }
std::shared_ptr<Mesh> makeGlooMesh(const MeshOptions& options) { return std::make_shared<GlooMesh>(options); }

}  // namespace hearth

#else

#include <stdexcept>

namespace hearth {
bool hasGloo() { return false; }
std::shared_ptr<Mesh> makeGlooMesh(const MeshOptions&) { throw std::runtime_error("this build has no collectives"); }
}  // namespace hearth

#endif
