// What members do together, composed of a mesh's operations. Before anything is sent all of them compare what they were
// asked to do: members that differ are told so, and the mesh stays usable. Not here: threads and promises (group.h).
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "mesh.h"

namespace hearth {

/** The members were not asked for the same; nothing was sent. */
struct Mismatch : std::runtime_error {
  Mismatch(const std::string& what, std::vector<int> peers) : std::runtime_error(what), peers(std::move(peers)) {}
  std::vector<int> peers;
};

/** One collective as all members must call it; each changes its tensor in place or makes new ones. */
struct Call {
  /** broadcast, allReduce, allGather, gather, reduceScatter, sumInOrder or barrier. */
  std::string operation;
  /** Contiguous and on the CPU; undefined for a barrier. */
  at::Tensor tensor;
  int root = 0;
  Reduction reduction = Reduction::Sum;
};

/** A member's place in its group. */
struct Place {
  int rank = 0;
  int size = 1;
};

/** Throws std::invalid_argument where the call could not work with any members. */
void checkCall(const Call& call, const Place& place);

/** Runs the call and returns the tensors that it makes. @throws Mismatch, or whatever ended the mesh. */
std::vector<at::Tensor> runCollective(Mesh& mesh, const Place& place, const Call& call);

/** The `ticket`-th message between two members in one direction; both sides count. */
struct Transfer {
  at::Tensor tensor;
  int peer = 0;
  int ticket = 0;
  bool sends = false;
};

void transferTensor(Mesh& mesh, const Place& place, const Transfer& transfer);

}  // namespace hearth
