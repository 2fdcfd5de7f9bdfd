// Every command, in the order of the help.
import type { Command } from '../command.js'
import { doctor } from './doctor.js'

export const commands: readonly Command[] = [doctor]
