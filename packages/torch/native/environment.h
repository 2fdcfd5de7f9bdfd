// What one JavaScript environment (the main thread, or a worker thread) owns: its tables and its error factory.
// Nothing here is shared between environments, so a handle of one thread means nothing in another.
#pragma once
#define NAPI_VERSION 8
#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <node_api.h>

#include <memory>
#include <vector>

#include "handles.h"
#include "warnings.h"

namespace hearth {

class Group;

/** A file mapped into memory; tensors over it share ownership. */
struct Mapping {
  char* data = nullptr;
  size_t size = 0;
  ~Mapping();
};

struct Environment {
  explicit Environment(uint32_t firstGeneration) : tensors(firstGeneration), generators(firstGeneration), mappings(firstGeneration), groups(firstGeneration) {}
  Table<at::Tensor> tensors;
  Table<at::Generator> generators;
  Table<std::shared_ptr<Mapping>> mappings;
  /** Groups of processes that this one is a member of. */
  Table<std::shared_ptr<Group>> groups;
  /** `(kind, message, operator) => Error`, set by TypeScript when it loads the module. */
  napi_ref makeError = nullptr;
  /** `(message) => void`, which says a warning. */
  napi_ref warn = nullptr;
  WarningCollector warnings;
  /** Room for the arguments of an operator, kept from the last call. */
  std::vector<c10::IValue> spareStack;
};

Environment& environmentOf(napi_env env);

}  // namespace hearth
