// Checks that some of libtorch's CPU kernels leave out: with wrong indices or shapes they write beyond their memory, with
// some sizes they take all of it. Found by the fuzzer (test/fuzz.ts); each says what the kernel does without it.
#pragma once
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

namespace hearth {

/** Throws ArgumentError for arguments that the operator's kernel would not survive. */
using Guard = void (*)(const std::vector<c10::IValue>& arguments);

/** nullptr for the many operators that check everything themselves. */
Guard guardOf(const std::string& operatorName);

}  // namespace hearth
