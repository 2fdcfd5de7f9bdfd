// The connections between the members of a group, and the raw operations over them, which block the thread that calls.
// Not here: order, checks and promises (group.h), what the operations are composed of (collectives.h).
#pragma once
#include <ATen/ATen.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

/** Where members find each other's addresses. Called from a thread that may wait. */
class Directory {
 public:
  virtual ~Directory() = default;
  virtual void set(const std::string& key, const std::vector<uint8_t>& value) = 0;
  /** Waits until somebody sets the key; throws when that comes to nothing. */
  virtual std::vector<uint8_t> get(const std::string& key) = 0;
};

enum class Reduction { Sum, Min, Max };

struct MeshOptions {
  int rank = 0;
  int size = 1;
  /** How long a peer may keep silent in the middle of an operation. */
  std::chrono::milliseconds timeout{0};
  /** The address that this member listens on, and is reached at. */
  std::string address;
};

/** Why a mesh is over, and the members to whom that is due as far as it is known. */
struct MeshFailure {
  std::string what;
  std::vector<int> peers;
};

/** Tensors given to it are contiguous and on the CPU, and may be parts of others. */
class Mesh {
 public:
  virtual ~Mesh() = default;
  virtual void connect(std::shared_ptr<Directory> directory) = 0;
  virtual void broadcast(at::Tensor bytes, int root) = 0;
  virtual void allReduce(at::Tensor tensor, Reduction reduction) = 0;
  /** One message to, and one from, each member that has a tensor of bytes in `inputs`, or in `outputs`, at its rank. */
  virtual void exchange(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& inputs, int tag) = 0;
  virtual void close(const MeshFailure& reason) = 0;
  /** What ended the mesh; nothing while it works. */
  virtual std::optional<MeshFailure> failure() = 0;
};

/** Whether this build has c10d's Gloo. */
bool hasGloo();
std::shared_ptr<Mesh> makeGlooMesh(const MeshOptions& options);

}  // namespace hearth
