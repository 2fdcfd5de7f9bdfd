// See group.h.
#include "group.h"

#include <ATen/Parallel.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <cstring>
#include <utility>

namespace hearth {

namespace {

constexpr auto kLongestEnd = std::chrono::seconds(3);

napi_value listOf(napi_env env, const std::vector<int>& numbers) {
  napi_value list;
  check(napi_create_array_with_length(env, numbers.size(), &list));
  for (size_t i = 0; i < numbers.size(); ++i) check(napi_set_element(env, list, i, toNumber(env, numbers[i])));
  return list;
}

}  // namespace

/** What the threads of a group share with JavaScript's. It outlives the group until the last of them is done. */
struct Group::State final : public Directory, public std::enable_shared_from_this<Group::State> {
  using Job = std::function<std::vector<at::Tensor>(Mesh&)>;
  struct Answer {
    std::vector<uint8_t> value;
    std::string error;
  };

  State(napi_env env, napi_value askFunction, std::shared_ptr<Mesh> madeMesh) : mailbox(env), mesh(std::move(madeMesh)) {
    check(napi_create_reference(env, askFunction, 1, &ask));
  }

  Mailbox mailbox;
  napi_ref ask = nullptr;
  /** Promises that JavaScript waits for; its thread alone counts. */
  int pending = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<Mesh> mesh;
  std::deque<std::function<void()>> jobs;
  std::optional<MeshFailure> over;
  bool leaving = false;
  std::vector<napi_deferred> departures;
  int threads = 0;
  int64_t questions = 0;
  std::map<int64_t, Answer> answers;

  void set(const std::string& key, const std::vector<uint8_t>& value) override { question(key, value); }
  std::vector<uint8_t> get(const std::string& key) override { return question(key, std::nullopt); }
  std::vector<uint8_t> question(const std::string& key, std::optional<std::vector<uint8_t>> value);
  void askJavaScript(napi_env env, int64_t id, const std::string& key, const std::optional<std::vector<uint8_t>>& value);

  napi_value promise(napi_env env, napi_deferred* deferred);
  void settle(napi_deferred deferred, std::vector<at::Tensor> made, std::optional<MeshFailure> failure, at::Tensor changed);
  void finish(napi_deferred deferred, const Job& job, at::Tensor changed);
  void end(MeshFailure failure);
  void runLane();
};

std::vector<uint8_t> Group::State::question(const std::string& key, std::optional<std::vector<uint8_t>> value) {
  std::unique_lock<std::mutex> lock(mutex);
  const int64_t id = ++questions;
  mailbox.post([self = shared_from_this(), id, key, value](napi_env env) { self->askJavaScript(env, id, key, value); });
  changed.wait(lock, [&] { return over || answers.count(id) > 0; });
  if (over) throw std::runtime_error(over->what);
  Answer answer = std::move(answers[id]);
  answers.erase(id);
  if (!answer.error.empty()) throw std::runtime_error(answer.error);
  return std::move(answer.value);
}

void Group::State::askJavaScript(napi_env env, int64_t id, const std::string& key, const std::optional<std::vector<uint8_t>>& value) {
  if (ask == nullptr) return;
  napi_value function, undefined = undefinedValue(env), arguments[3] = {toNumber(env, static_cast<double>(id)), toString(env, key), undefined}, result;
  check(napi_get_reference_value(env, ask, &function));
  if (value) {
    void* data = nullptr;
    napi_value buffer;
    check(napi_create_arraybuffer(env, value->size(), &data, &buffer));
    if (!value->empty()) std::memcpy(data, value->data(), value->size());
    check(napi_create_typedarray(env, napi_uint8_array, value->size(), buffer, 0, &arguments[2]));
  }
  check(napi_call_function(env, undefined, function, 3, arguments, &result));
}

napi_value Group::State::promise(napi_env env, napi_deferred* deferred) {
  napi_value promise;
  check(napi_create_promise(env, deferred, &promise));
  if (pending++ == 0) mailbox.keepAlive(env, true);
  return promise;
}

/** Resolves with tensors, or rejects with `[message, peers, whether the group is over]`. Any thread. */
void Group::State::settle(napi_deferred deferred, std::vector<at::Tensor> made, std::optional<MeshFailure> failure, at::Tensor changed) {
  bool ended;
  {
    std::lock_guard<std::mutex> lock(mutex);
    ended = over.has_value();
  }
  mailbox.post([self = shared_from_this(), deferred, made = std::move(made), failure = std::move(failure), changed = std::move(changed), ended](napi_env env) {
    if (--self->pending == 0) self->mailbox.keepAlive(env, false);
    // Autograd must know that what it may have kept is another value now.
    if (changed.defined() && !changed.is_inference()) changed.unsafeGetTensorImpl()->bump_version();
    napi_value outcome;
    check(napi_create_array(env, &outcome));
    if (failure) {
      check(napi_set_element(env, outcome, 0, toString(env, failure->what)));
      napi_value isOver;
      check(napi_get_boolean(env, ended, &isOver));
      check(napi_set_element(env, outcome, 1, listOf(env, failure->peers)));
      check(napi_set_element(env, outcome, 2, isOver));
      check(napi_reject_deferred(env, deferred, outcome));
      return;
    }
    for (size_t i = 0; i < made.size(); ++i) check(napi_set_element(env, outcome, i, toHandle(env, environmentOf(env), made[i])));
    check(napi_resolve_deferred(env, deferred, outcome));
  });
}

/** Runs a job on this thread. A job that fails for another reason than a mismatch is the group's end. */
void Group::State::finish(napi_deferred deferred, const Job& job, at::Tensor changed) {
  std::optional<MeshFailure> failure;
  std::vector<at::Tensor> made;
  {
    std::lock_guard<std::mutex> lock(mutex);
    failure = over;
  }
  try {
    if (!failure) made = job(*mesh);
  } catch (const Mismatch& mismatch) {
    failure = MeshFailure{mismatch.what(), mismatch.peers};
  } catch (const std::exception& error) {
    const auto* torch = dynamic_cast<const c10::Error*>(&error);
    end(mesh->failure().value_or(MeshFailure{torch != nullptr ? firstWords(*torch) : error.what(), {}}));
    std::lock_guard<std::mutex> lock(mutex);
    failure = over;
  }
  settle(deferred, std::move(made), std::move(failure), std::move(changed));
}

void Group::State::end(MeshFailure failure) {
  std::unique_lock<std::mutex> lock(mutex);
  if (!over) over = failure;
  changed.notify_all();
  const std::shared_ptr<Mesh> open = mesh;
  lock.unlock();
  if (open != nullptr) open->close(failure);
}

/** Waits for jobs until the group is left, then closes the connections. */
void Group::State::runLane() {
  // Sums of this thread are as fast as memory: more threads would only take the cores from the computation beside them.
  at::get_num_threads();
#ifdef _OPENMP
  omp_set_num_threads(1);
#endif
  std::unique_lock<std::mutex> lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return leaving || !jobs.empty(); });
    if (jobs.empty()) break;
    const auto job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
  changed.wait(lock, [&] { return threads == 1; });
  std::shared_ptr<Mesh> last = std::move(mesh);
  lock.unlock();
  last.reset();
  for (napi_deferred departure : departures) settle(departure, {}, std::nullopt, {});
  lock.lock();
  threads = 0;
  changed.notify_all();
}

Group::Group(napi_env env, napi_value ask, const MeshOptions& options)
    : place_{options.rank, options.size}, state_(std::make_shared<State>(env, ask, makeGlooMesh(options))), env_(env) {
  // Runs before the environment takes the mailbox away; the threads must be done by then.
  check(napi_add_env_cleanup_hook(env, shutDownOf, this));
}

Group::~Group() {
  napi_remove_env_cleanup_hook(env_, shutDownOf, this);
  shutDown();
}

void Group::shutDownOf(void* group) { static_cast<Group*>(group)->shutDown(); }

void Group::shutDown() {
  abort("the process ends");
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->leaving = true;
    state_->changed.notify_all();
    const bool done = state_->changed.wait_for(lock, kLongestEnd, [&] { return state_->threads == 0; });
    if (!done && lane_.joinable()) lane_.detach();
  }
  if (lane_.joinable()) lane_.join();
  state_->mailbox.close();
  if (state_->ask != nullptr) napi_delete_reference(env_, std::exchange(state_->ask, nullptr));
}

napi_value Group::join(napi_env env) {
  napi_deferred deferred;
  napi_value promise = state_->promise(env, &deferred);
  const State::Job connect = [state = state_](Mesh& mesh) {
    mesh.connect(state);
    return std::vector<at::Tensor>();
  };
  state_->jobs.push_back([state = state_.get(), deferred, connect] { state->finish(deferred, connect, {}); });
  state_->threads = 1;
  lane_ = std::thread([state = state_] { state->runLane(); });
  return promise;
}

napi_value Group::run(napi_env env, Call call) {
  if (state_->leaving) throw ArgumentError("the group was left");
  napi_deferred deferred;
  napi_value promise = state_->promise(env, &deferred);
  const bool makes = call.operation == "allGather" || call.operation == "gather" || call.operation == "reduceScatter";
  const at::Tensor changed = makes ? at::Tensor() : call.tensor;
  const State::Job job = [place = place_, call = std::move(call)](Mesh& mesh) { return runCollective(mesh, place, call); };
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->jobs.push_back([state = state_.get(), deferred, job, changed] { state->finish(deferred, job, changed); });
  state_->changed.notify_all();
  return promise;
}

/** On a thread of its own: members that send to each other must not wait for each other's turn. */
napi_value Group::transfer(napi_env env, at::Tensor tensor, int peer, bool sends) {
  if (state_->leaving) throw ArgumentError("the group was left");
  if (peer < 0 || peer >= place_.size || peer == place_.rank) throw ArgumentError("no other member has rank " + std::to_string(peer) + "; the group has ranks 0 to " + std::to_string(place_.size - 1));
  napi_deferred deferred;
  napi_value promise = state_->promise(env, &deferred);
  const int ticket = (sends ? sent_ : received_)[peer]++;
  const State::Job job = [place = place_, transfer = Transfer{tensor, peer, ticket, sends}](Mesh& mesh) {
    transferTensor(mesh, place, transfer);
    return std::vector<at::Tensor>();
  };
  std::lock_guard<std::mutex> lock(state_->mutex);
  ++state_->threads;
  std::thread([state = state_, deferred, job, changed = sends ? at::Tensor() : tensor] {
    state->finish(deferred, job, changed);
    std::lock_guard<std::mutex> end(state->mutex);
    --state->threads;
    state->changed.notify_all();
  }).detach();
  return promise;
}

napi_value Group::leave(napi_env env) {
  if (state_->leaving) throw ArgumentError("the group was left");
  napi_deferred deferred;
  napi_value promise = state_->promise(env, &deferred);
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->departures.push_back(deferred);
  state_->leaving = true;
  state_->changed.notify_all();
  return promise;
}

void Group::abort(const std::string& reason) { state_->end({reason, {}}); }

void Group::answer(int64_t id, std::vector<uint8_t> value, const std::string& error) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->answers[id] = {std::move(value), error};
  state_->changed.notify_all();
}

}  // namespace hearth
