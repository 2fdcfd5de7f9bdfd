// The table at the end of `npm run bench`. Usage: summary.ts MILLISECONDS, the time since when results count.
import { printHeadlines } from './headline.js'

printHeadlines(Number(process.argv[2]))
