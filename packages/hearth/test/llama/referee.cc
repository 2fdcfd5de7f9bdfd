// Asks llama.cpp, as the npm package @node-llama-cpp/linux-x64 has it built, what it makes of a GGUF file or of blocks.
// It is compiled by referee.ts when a test needs it, and finds the libraries at run time. The declarations are those of
// that version's llama.h and ggml.h, as far as they are used here.
//   referee LIBRARIES logits MODEL OUT GREEDY ID...    float32 logits of every position, then GREEDY tokens on stdout
//   referee LIBRARIES tokens MODEL TEXTFILE            the ids of a text on stdout, its beginning and special tokens included
//   referee LIBRARIES time MODEL THREADS PROMPT         seconds for each line on stdin: `prompt` reads so many tokens from
//                                                      nothing, `N` gives N tokens after it
//   referee LIBRARIES blocks TYPE COUNT IN OUT         float32 numbers of so many numbers in blocks
#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

struct ModelParams {
  void *devices, *overrides;
  int32_t gpuLayers, splitMode, loadMode, lazyMode, mainGpu;
  void *tensorSplit, *progress, *progressData, *keyOverrides;
  bool vocabularyOnly, checkTensors, useExtraBuffers, noHost, noAlloc, loadMtp;
};

struct ContextParams {
  uint32_t context, batch, microBatch, sequences, snapshots, outputs, outputsPerSequence;
  int32_t threads, threadsBatch;
  int32_t contextType, ropeScaling, pooling, attention, flashAttention;
  float ropeBase, ropeScale, yarnExtension, yarnAttention, yarnFast, yarnSlow;
  uint32_t yarnContext;
  float defragment;
  void *evaluate, *evaluateData;
  int32_t typeK, typeV;
  void *abort, *abortData;
  bool embeddings, offloadCache, noPerformance, offloadOperators, fullWindow, unified;
  void* samplers;
  size_t samplerCount;
  void* other;
};

struct Batch {
  int32_t count;
  int32_t* token;
  float* embedding;
  int32_t *position, *sequenceCount;
  int32_t** sequence;
  int8_t* logits;
};

struct TypeTraits {
  const char* name;
  int64_t elements, interleaved;
  size_t bytes;
  bool quantized;
  void (*toFloat)(const void*, float*, int64_t);
  void* fromFloat;
};

[[noreturn]] void die(const std::string& message) {
  std::fprintf(stderr, "referee: %s\n", message.c_str());
  std::exit(1);
}

void* libraries[3];

template <typename F>
F* function(const char* name) {
  for (void* library : libraries)
    if (void* found = dlsym(library, name)) return reinterpret_cast<F*>(found);
  die(std::string("no function ") + name);
}

void quiet(int level, const char* text, void*) {
  if (level >= 4) std::fprintf(stderr, "%s", text);
}

void* loadedModel(const char* path, bool vocabularyOnly) {
  function<void(void (*)(int, const char*, void*), void*)>("llama_log_set")(quiet, nullptr);
  ModelParams params = function<ModelParams()>("llama_model_default_params")();
  params.vocabularyOnly = vocabularyOnly;
  void* model = function<void*(const char*, ModelParams)>("llama_model_load_from_file")(path, params);
  if (model == nullptr) die(std::string("llama.cpp refuses ") + path);
  return model;
}

void writeLogits(void* model, void* vocabulary, const char* out, int greedy, std::vector<int32_t> ids) {
  ContextParams params = function<ContextParams()>("llama_context_default_params")();
  params.context = params.batch = params.microBatch = 512;
  params.threads = params.threadsBatch = 1;
  params.flashAttention = 0;
  params.typeK = params.typeV = 0; // float32
  void* context = function<void*(void*, ContextParams)>("llama_init_from_model")(model, params);
  if (context == nullptr) die("llama.cpp makes no context");
  const auto decode = function<int32_t(void*, Batch)>("llama_decode");
  const auto logitsOf = function<float*(void*, int32_t)>("llama_get_logits_ith");
  const int size = function<int32_t(void*)>("llama_vocab_n_tokens")(vocabulary);
  std::vector<int8_t> wanted(ids.size(), 1);
  Batch batch = {static_cast<int32_t>(ids.size()), ids.data(), nullptr, nullptr, nullptr, nullptr, wanted.data()};
  if (decode(context, batch) != 0) die("llama.cpp cannot decode");
  std::ofstream file(out, std::ios::binary);
  for (size_t i = 0; i < ids.size(); ++i) file.write(reinterpret_cast<const char*>(logitsOf(context, static_cast<int32_t>(i))), 4 * size);
  for (int i = 0; i < greedy; ++i) {
    const float* logits = logitsOf(context, -1);
    int32_t best = 0;
    for (int token = 1; token < size; ++token)
      if (logits[token] > logits[best]) best = token;
    std::printf("%d\n", best);
    int8_t one = 1;
    Batch next = {1, &best, nullptr, nullptr, nullptr, nullptr, &one};
    if (decode(context, next) != 0) die("llama.cpp cannot decode");
  }
}

void answerTimes(void* model, int threads, int prompt) {
  ContextParams params = function<ContextParams()>("llama_context_default_params")();
  params.context = static_cast<uint32_t>(prompt + 256);
  params.batch = params.microBatch = 512;
  params.threads = params.threadsBatch = threads;
  void* context = function<void*(void*, ContextParams)>("llama_init_from_model")(model, params);
  if (context == nullptr) die("llama.cpp makes no context");
  const auto decode = function<int32_t(void*, Batch)>("llama_decode");
  void* memory = function<void*(void*)>("llama_get_memory")(context);
  char line[32];
  while (std::fgets(line, sizeof(line), stdin) != nullptr) {
    const bool whole = line[0] == 'p';
    std::vector<int32_t> ids(whole ? static_cast<size_t>(prompt) : 1);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 1000 + 10);
    if (whole) function<void(void*, bool)>("llama_memory_clear")(memory, true);
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < (whole ? 1 : std::atoi(line)); ++i) {
      Batch batch = {static_cast<int32_t>(ids.size()), ids.data(), nullptr, nullptr, nullptr, nullptr, nullptr};
      if (decode(context, batch) != 0) die("llama.cpp cannot decode");
      function<void(void*)>("llama_synchronize")(context);
    }
    std::printf("{\"seconds\": %f}\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    std::fflush(stdout);
  }
}

std::string contentsOf(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void printTokens(void* vocabulary, const std::string& text) {
  std::vector<int32_t> ids(text.size() + 16);
  const auto tokenize = function<int32_t(void*, const char*, int32_t, int32_t*, int32_t, bool, bool)>("llama_tokenize");
  const int count = tokenize(vocabulary, text.data(), static_cast<int32_t>(text.size()), ids.data(), static_cast<int32_t>(ids.size()), true, true);
  for (int i = 0; i < count; ++i) std::printf("%d\n", ids[static_cast<size_t>(i)]);
}

void decodeBlocks(int type, int64_t count, const char* in, const char* out) {
  const std::string blocks = contentsOf(in);
  std::vector<float> numbers(static_cast<size_t>(count));
  function<const TypeTraits*(int)>("ggml_get_type_traits")(type)->toFloat(blocks.data(), numbers.data(), count);
  std::ofstream(out, std::ios::binary).write(reinterpret_cast<const char*>(numbers.data()), 4 * count);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5) die("see the head of its source");
  const std::string folder = arguments[1], what = arguments[2];
  const char* names[] = {"libggml-base.so", "libggml.v0.5.0.so", "libllama.v0.5.0.so"};
  for (int i = 0; i < 3; ++i)
    if ((libraries[i] = dlopen((folder + "/" + names[i]).c_str(), RTLD_NOW | RTLD_GLOBAL)) == nullptr) die(dlerror());
  if (what == "blocks") {
    decodeBlocks(std::atoi(arguments[3]), std::atoll(arguments[4]), arguments[5], arguments[6]);
    return 0;
  }
  function<void(const char*)>("ggml_backend_load_all_from_path")(folder.c_str());
  function<void()>("llama_backend_init")();
  void* model = loadedModel(arguments[3], what == "tokens");
  void* vocabulary = function<void*(void*)>("llama_model_get_vocab")(model);
  if (what == "tokens") {
    printTokens(vocabulary, contentsOf(arguments[4]));
    return 0;
  }
  if (what == "time") {
    answerTimes(model, std::atoi(arguments[4]), std::atoi(arguments[5]));
    std::_Exit(0);
  }
  std::vector<int32_t> ids;
  for (int i = 6; i < count; ++i) ids.push_back(std::atoi(arguments[i]));
  writeLogits(model, vocabulary, arguments[4], std::atoi(arguments[5]), ids);
  std::fflush(stdout);
  std::_Exit(0);
}
