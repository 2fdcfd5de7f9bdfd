// What the server measures of itself, for Prometheus. Names begin with hearth_.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** What one text tells while it is written. */
export interface TextMeasure {
  tokens: (count: number) => void
  /** @param reason undefined when it was cut short */
  end: (promptTokens: number, reason: string | undefined) => void
}

export class ServerMetrics {
  readonly registry = new Registry()
  readonly #requests = this.#add(
    new Counter({
      name: 'hearth_http_requests_total',
      help: 'Requests answered',
      labelNames: ['route', 'status'],
      registers: [],
    }),
  )
  readonly #texts = this.#add(
    new Counter({
      name: 'hearth_texts_total',
      help: 'Texts written, by how they ended',
      labelNames: ['model', 'reason'],
      registers: [],
    }),
  )
  readonly #promptTokens = this.#add(
    new Counter({
      name: 'hearth_prompt_tokens_total',
      help: 'Tokens of prompts',
      labelNames: ['model'],
      registers: [],
    }),
  )
  readonly #tokens = this.#add(
    new Counter({
      name: 'hearth_generated_tokens_total',
      help: 'Tokens written',
      labelNames: ['model'],
      registers: [],
    }),
  )
  readonly #first = this.#add(
    new Histogram({
      name: 'hearth_time_to_first_token_seconds',
      help: 'From the request to its first token',
      labelNames: ['model'],
      buckets: SECONDS,
      registers: [],
    }),
  )
  readonly #between = this.#add(
    new Histogram({
      name: 'hearth_inter_token_seconds',
      help: 'From a token to the next of its text',
      labelNames: ['model'],
      buckets: SECONDS,
      registers: [],
    }),
  )
  readonly #restarts = this.#add(
    new Counter({
      name: 'hearth_model_deaths_total',
      help: 'Deaths of model processes',
      labelNames: ['model'],
      registers: [],
    }),
  )

  /** A value that is read when somebody asks. */
  gauge(name: string, help: string, read: () => number): void {
    this.#add(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(read())
        },
      }),
    )
  }

  /** A value by model; collected by the caller. */
  modelGauge(name: string, help: string): Gauge {
    return this.#add(new Gauge({ name, help, labelNames: ['model'], registers: [] }))
  }

  request(route: string, status: number): void {
    this.#requests.inc({ route, status: String(status) })
  }

  died(model: string): void {
    this.#restarts.inc({ model })
  }

  /** Measures a text from now on. */
  text(model: string): TextMeasure {
    let last = performance.now()
    let isFirst = true
    return {
      tokens: (count) => {
        const now = performance.now()
        const histogram = isFirst ? this.#first : this.#between
        histogram.observe({ model }, (now - last) / 1000)
        isFirst = false
        last = now
        this.#tokens.inc({ model }, count)
      },
      end: (promptTokens, reason = 'cut_short') => {
        this.#promptTokens.inc({ model }, promptTokens)
        this.#texts.inc({ model, reason })
      },
    }
  }

  #add<M extends Counter | Gauge | Histogram>(metric: M): M {
    this.registry.registerMetric(metric)
    return metric
  }
}
