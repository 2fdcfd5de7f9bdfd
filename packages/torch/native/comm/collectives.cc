// See collectives.h.
#include "collectives.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "../convert.h"

namespace hearth {

namespace {

constexpr int64_t kDescriptionBytes = 256;
/** Messages between two members number their tags by this; collectives take the last of the first. */
constexpr int kTagsOfMessage = 4;
constexpr int kTagOfCollectives = 3;
constexpr int kTickets = (1 << 30) / kTagsOfMessage;

/** A tensor's own memory as bytes, which every dtype is. */
at::Tensor bytesOf(const at::Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), {static_cast<int64_t>(tensor.nbytes())}, [owner = tensor](void*) {}, at::kByte);
}

std::string describe(const at::Tensor& tensor) {
  std::string text = nameOf(tensor.scalar_type());
  text += " [";
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.size(i));
  return text + "]";
}

std::string describe(const Call& call) {
  std::string text = call.operation;
  if (call.operation == "allReduce") text += call.reduction == Reduction::Sum ? " (sum)" : call.reduction == Reduction::Min ? " (min)" : " (max)";
  if (call.operation == "broadcast") text += " from rank " + std::to_string(call.root);
  if (call.operation == "gather") text += " to rank " + std::to_string(call.root);
  return call.tensor.defined() ? text + " of " + describe(call.tensor) : text;
}

at::Tensor written(const std::string& text) {
  at::Tensor bytes = at::zeros({kDescriptionBytes}, at::kByte);
  std::memcpy(bytes.data_ptr(), text.data(), std::min<size_t>(text.size(), kDescriptionBytes - 1));
  return bytes;
}

std::string readBack(const at::Tensor& bytes) {
  const auto* begin = static_cast<const char*>(bytes.data_ptr());
  std::string text(begin, strnlen(begin, kDescriptionBytes - 1));
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/** All members compare what they do. When it returns, all of them have come here. */
void agree(Mesh& mesh, const Place& place, const std::string& own) {
  const at::Tensor mine = written(own);
  std::vector<at::Tensor> all;
  for (int i = 0; i < place.size; ++i) all.push_back(i == place.rank ? mine : at::empty({kDescriptionBytes}, at::kByte));
  mesh.exchange(all, std::vector<at::Tensor>(place.size, mine), kTagOfCollectives);
  std::vector<int> others;
  std::string theirs;
  for (int i = 0; i < place.size; ++i) {
    if (all[i].equal(mine)) continue;
    if (others.empty()) theirs = "rank " + std::to_string(i) + " calls " + readBack(all[i]);
    others.push_back(i);
  }
  if (!others.empty()) throw Mismatch(theirs + ", this member (rank " + std::to_string(place.rank) + ") " + own, others);
}

/**
 * ((0+1)+(2+3))+...: the tree that a member with a power of two of the parts has a part of. The parts are used up; the
 * sum lies in the memory of part `home`. Where an addition stores its result does not show in its bits.
 */
void sumInTree(const std::vector<at::Tensor>& parts, int home) {
  struct Partial {
    at::Tensor sum;
    int parts;
    bool isHome;
  };
  std::vector<Partial> partial;
  const auto mergeLast = [&] {
    Partial right = std::move(partial.back());
    Partial& left = partial[partial.size() - 2];
    if (right.isHome) std::swap(left.sum, right.sum);
    left.sum.add_(right.sum);
    left.parts += right.parts;
    left.isHome = left.isHome || right.isHome;
    partial.pop_back();
  };
  for (size_t i = 0; i < parts.size(); ++i) {
    partial.push_back({parts[i], 1, static_cast<int>(i) == home});
    while (partial.size() > 1 && partial[partial.size() - 2].parts == partial.back().parts) mergeLast();
  }
  while (partial.size() > 1) mergeLast();
}

/** A flat tensor in one part for each owner: all the same, but for the last ones. */
std::vector<at::Tensor> partsOf(const at::Tensor& flat, int owners) {
  const int64_t each = (flat.numel() + owners - 1) / owners;
  std::vector<at::Tensor> parts;
  for (int i = 0; i < owners; ++i) {
    const int64_t begin = std::min(i * each, flat.numel());
    parts.push_back(flat.narrow(0, begin, std::min(each, flat.numel() - begin)));
  }
  return parts;
}

std::vector<at::Tensor> allBytes(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> bytes;
  for (const at::Tensor& tensor : tensors) bytes.push_back(tensor.numel() > 0 ? bytesOf(tensor) : at::Tensor());
  return bytes;
}

/** This member's part becomes the sum over all members; `home` is where. */
void sumOwnPart(Mesh& mesh, const Place& place, const std::vector<at::Tensor>& parts, const at::Tensor& home) {
  std::vector<at::Tensor> received;
  for (int i = 0; i < place.size; ++i) received.push_back(i == place.rank ? home : at::empty_like(home));
  mesh.exchange(allBytes(received), allBytes(parts), kTagOfCollectives);
  if (home.numel() > 0) sumInTree(received, place.rank);
}

void sumInOrder(Mesh& mesh, const Place& place, const at::Tensor& tensor) {
  const std::vector<at::Tensor> parts = partsOf(tensor.view({-1}), place.size);
  const at::Tensor own = parts[place.rank];
  sumOwnPart(mesh, place, parts, own);
  mesh.exchange(allBytes(parts), allBytes(std::vector<at::Tensor>(place.size, own)), kTagOfCollectives);
}

at::Tensor reduceScatter(Mesh& mesh, const Place& place, const at::Tensor& tensor) {
  const std::vector<at::Tensor> parts = tensor.chunk(place.size);
  at::Tensor own = parts[place.rank].clone();
  sumOwnPart(mesh, place, parts, own);
  return own;
}

/** The dtype that Gloo reduces in, for those that it does not know or reduces roughly. */
at::ScalarType reducedAs(at::ScalarType dtype) {
  if (dtype == at::kBFloat16 || dtype == at::kHalf) return at::kFloat;
  return dtype == at::kShort ? at::kInt : dtype;
}

void allReduce(Mesh& mesh, const at::Tensor& tensor, Reduction reduction) {
  const at::ScalarType dtype = reducedAs(tensor.scalar_type());
  if (dtype == tensor.scalar_type()) return mesh.allReduce(tensor, reduction);
  const at::Tensor wide = tensor.to(dtype);
  mesh.allReduce(wide, reduction);
  tensor.copy_(wide);
}

/** The tensors of all members; with a root, only there. */
std::vector<at::Tensor> gather(Mesh& mesh, const Place& place, const at::Tensor& tensor, std::optional<int> root) {
  const bool takes = !root || *root == place.rank;
  std::vector<at::Tensor> outputs, inputs(place.size);
  for (int i = 0; takes && i < place.size; ++i) outputs.push_back(i == place.rank ? tensor.clone() : at::empty_like(tensor));
  for (int i = 0; i < place.size; ++i)
    if ((!root || *root == i) && tensor.numel() > 0) inputs[i] = bytesOf(tensor);
  mesh.exchange(allBytes(outputs), inputs, kTagOfCollectives);
  return outputs;
}

int tagOf(int ticket, int step) { return (ticket % kTickets) * kTagsOfMessage + step; }

/** What an exchange takes that concerns one other member. */
std::vector<at::Tensor> only(const at::Tensor& tensor, int peer, const Place& place) {
  std::vector<at::Tensor> tensors(place.size);
  tensors[peer] = tensor;
  return tensors;
}

/** Both sides tell each other what they mean to pass on. */
void agreeWith(Mesh& mesh, const Place& place, const at::Tensor& tensor, int peer, int ticket, bool sends) {
  const std::string own = describe(tensor);
  at::Tensor theirs = at::empty({kDescriptionBytes}, at::kByte);
  const at::Tensor mine = written(own);
  // Two members may begin a message to each other at the same time.
  const bool fromLower = sends == (place.rank < peer);
  mesh.exchange(only(theirs, peer, place), only(mine, peer, place), tagOf(ticket, fromLower ? 0 : 1));
  if (!theirs.equal(mine))
    throw Mismatch("rank " + std::to_string(peer) + (sends ? " has room for " : " sends ") + readBack(theirs) + ", this member " + (sends ? "sends " : "has room for ") + own, {peer});
}

}  // namespace

void checkCall(const Call& call, const Place& place) {
  if (call.root < 0 || call.root >= place.size) throw std::invalid_argument("the root is rank " + std::to_string(call.root) + ", the group has ranks 0 to " + std::to_string(place.size - 1));
  if (!call.tensor.defined()) return;
  const std::string what = call.operation + " of " + describe(call.tensor) + ": ";
  if (!call.tensor.device().is_cpu()) throw std::invalid_argument(what + "the tensor is on " + call.tensor.device().str() + ", groups work on CPU tensors; copy it with .to({ device: 'cpu' })");
  if (!call.tensor.is_contiguous()) throw std::invalid_argument(what + "the tensor is not contiguous; take a contiguous copy");
  const bool sums = call.operation == "allReduce" || call.operation == "sumInOrder" || call.operation == "reduceScatter";
  if (sums && call.tensor.scalar_type() == at::kBool) throw std::invalid_argument(what + "booleans have no sum; use uint8");
  if (call.operation == "reduceScatter" && (call.tensor.dim() == 0 || call.tensor.size(0) % place.size != 0))
    throw std::invalid_argument(what + "the first dimension must be a multiple of the group's size, " + std::to_string(place.size));
}

std::vector<at::Tensor> runCollective(Mesh& mesh, const Place& place, const Call& call) {
  const c10::NoGradGuard noGrad;
  agree(mesh, place, describe(call));
  if (call.operation == "barrier") return {};
  const at::Tensor tensor = call.tensor.detach();
  if (call.operation == "allGather") return gather(mesh, place, tensor, std::nullopt);
  if (call.operation == "gather") return gather(mesh, place, tensor, call.root);
  const bool nothing = tensor.numel() == 0 || place.size == 1;
  if (call.operation == "reduceScatter") return {reduceScatter(mesh, place, tensor)};
  if (nothing) return {};
  if (call.operation == "broadcast") mesh.broadcast(bytesOf(tensor), call.root);
  if (call.operation == "allReduce") allReduce(mesh, tensor, call.reduction);
  if (call.operation == "sumInOrder") sumInOrder(mesh, place, tensor);
  return {};
}

void transferTensor(Mesh& mesh, const Place& place, const Transfer& transfer) {
  const auto& [tensor, peer, ticket, sends] = transfer;
  agreeWith(mesh, place, tensor, peer, ticket, sends);
  if (tensor.numel() == 0) return;
  const std::vector<at::Tensor> message = only(bytesOf(tensor), peer, place), none;
  mesh.exchange(sends ? none : message, sends ? message : none, tagOf(ticket, 2));
}

}  // namespace hearth
