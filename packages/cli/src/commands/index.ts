// Every command, in the order of the help.
import type { Command } from '../command.js'
import { adapt } from './adapt.js'
import { chat } from './chat.js'
import { convert } from './convert.js'
import { doctor } from './doctor.js'
import { drill } from './drill.js'
import { evaluate } from './evaluate.js'
import { generate } from './generate.js'
import { inspect } from './inspect.js'
import { launch } from './launch.js'
import { member } from './member.js'
import { plan } from './plan.js'
import { quickstart } from './quickstart.js'
import { resume } from './resume.js'
import { runs } from './runs.js'
import { score } from './score.js'
import { serve } from './serve.js'
import { studio } from './studio.js'
import { tokenize } from './tokenize.js'
import { train } from './train.js'

export const commands: readonly Command[] = [
  quickstart,
  train,
  adapt,
  resume,
  generate,
  chat,
  serve,
  score,
  evaluate,
  tokenize,
  convert,
  inspect,
  runs,
  studio,
  plan,
  doctor,
  drill,
  launch,
  member,
]
