// How each figure of a plan came about, in words and numbers. Nothing is computed here that decides anything.
import { trainingFlops } from './compute.js'
import { short, type Figure } from './figure.js'
import type { Numbers, PlanRequest } from './forward.js'
import { youngInterval } from './goodput.js'

/** Each figure of a plan, in the order in which they follow from each other. */
export function figuresOf(request: PlanRequest, plan: Numbers): Figure[] {
  return [...workFigures(request, plan), ...breakingFigures(plan), ...costFigures(request, plan)]
}

function workFigures(request: PlanRequest, plan: Numbers): Figure[] {
  const { model, length, tokens, batch } = request
  const { parameters, embeddingParameters, idleParameters = 0, layers, heads, headDim } = model.shape
  const counted = parameters - embeddingParameters - idleParameters
  return [
    {
      name: 'operations a token',
      value: trainingFlops(model, length),
      unit: 'FLOP',
      how: `6 × ${short(counted)} + 12 × ${layers} × ${heads * headDim} × ${length}`,
      source: 'Kaplan et al. 2020; PaLM, appendix B',
    },
    ...stepFigures(request, plan),
    { name: 'steps', value: plan.steps, unit: '', how: `${short(tokens)} tokens / ${short(batch)} a step`, source: '' },
  ]
}

function stepFigures(request: PlanRequest, { chosen: { step, layout } }: Numbers): Figure[] {
  const { model, length, batch, devices, hardware, efficiency, method, measuredStep } = request
  const share = method === 'full' ? '' : ' × 2/3 (no gradients of weights that stay)'
  const again = layout.checkpointing ? ' × 4/3 (blocks computed again)' : ''
  const flops = `${short(trainingFlops(model, length))} × ${short(batch)} tokens${share}${again}`
  const compute = `${flops} / (${devices} × ${short(hardware.peak * 1e12)} FLOP/s × ${efficiency})`
  const links = `2-byte gradients and weights by rings at 80 % of the links; ${short(step.exposed)} s do not hide behind the computing`
  const host = 'gradients and weights over the link to the host, the update at 25 GB/s'
  const tried = 'a dozen steps of this model here, on random tokens; in place of the computed one'
  const seconds = (name: string, value: number, how: string, source: string) => ({
    name,
    value,
    unit: 's',
    how,
    source,
  })
  return [
    seconds('compute of a step', step.compute, compute, 'FLOPs over peak × efficiency'),
    seconds('communication of a step', step.communication, links, 'alpha-beta model of ring collectives'),
    ...(step.offload > 0 ? [seconds('offload of a step', step.offload, host, 'ZeRO-Offload, Ren et al. 2021')] : []),
    ...(measuredStep === undefined ? [] : [seconds('measured step', measuredStep, tried, 'measured')]),
  ]
}

function breakingFigures({ breakdowns, interval, goodput: share, hours, expectedFailures }: Numbers): Figure[] {
  const { meanTime, stall, restart } = breakdowns
  return [
    {
      name: 'mean time between breakdowns',
      value: meanTime / 3600,
      unit: 'h',
      how: '1000 days / (machines × breakdowns in 1000 machine-days)',
      source: '6.5 on Meta’s clusters (Kokolis et al. 2025); published runs 3 to 16',
    },
    {
      name: 'checkpoint interval',
      value: interval,
      unit: 's',
      how: `the most goodput, and not sooner than a disk of 2 GB/s a machine can keep it; Young’s sqrt(2 s M) is ${short(youngInterval(breakdowns))} s with s = ${short(stall)} s`,
      source: 'Young 1974; Daly 2006',
    },
    {
      name: 'goodput',
      value: share,
      unit: '',
      how: `τ / (M e^(R/M) (e^((τ+s)/M) - 1)), M = ${short(meanTime)} s, R = ${short(restart)} s`,
      source: 'Daly 2006, equation 20',
    },
    {
      name: 'breakdowns expected',
      value: expectedFailures,
      unit: '',
      how: `${short(hours)} h / ${short(meanTime / 3600)} h`,
      source: '',
    },
  ]
}

function costFigures({ price, electricity, overhead, hardware }: PlanRequest, plan: Numbers): Figure[] {
  const { hours, deviceHours, energy, money } = plan
  const kWh = `${short(deviceHours)} device-hours × ${hardware.watts} W × ${overhead}`
  const paid = [
    price === undefined ? '' : `${short(deviceHours)} device-hours × ${price}`,
    electricity === undefined ? '' : `${short(energy)} kWh × ${electricity}`,
  ]
  return [
    {
      name: 'hours',
      value: hours,
      unit: 'h',
      how: `${short(plan.steps)} steps × ${short(plan.secondsPerStep)} s / goodput`,
      source: '',
    },
    { name: 'energy', value: energy, unit: 'kWh', how: kWh, source: 'as LLaMA’s paper counts it, section 6' },
    ...(money === undefined
      ? []
      : [
          {
            name: 'money',
            value: money,
            unit: '',
            how: paid.filter((part) => part !== '').join(' + '),
            source: price === hardware.price ? (hardware.priceBasis ?? 'the catalogue') : 'given',
          },
        ]),
  ]
}
