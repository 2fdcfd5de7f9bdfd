// The page's files, from memory: nothing that a browser asks for ever becomes a path. Strict content policy: scripts, styles
// and data from here alone, nothing inline, no frames.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { HearthError } from '@hearth/torch'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** React Aria's one rule of style that it puts into the page (how pressed things scroll), as version 1.22 has it. */
const PRESSABLE_STYLE = "'sha256-38RhXrc7EdReTKsOm23ZPOCUgniTUUcjky8QOOrQx6o='"

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  `style-src 'self' ${PRESSABLE_STYLE}`,
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

interface PageFile {
  type: string
  bytes: Buffer
}

/** @throws HearthError when the page was not built */
function readPage(folder: string): Map<string, PageFile> {
  if (!existsSync(join(folder, 'index.html')))
    throw new HearthError(`the Studio's page is not built: ${folder} has no index.html`, { remedy: 'npm run setup' })
  const files = new Map<string, PageFile>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = TYPES[extname(entry.name)]
    if (!entry.isFile() || type === undefined) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(folder.length).replaceAll('\\', '/'), { type, bytes: readFileSync(path) })
  }
  return files
}

/** @param folder of the built page */
export function pageRoutes(app: FastifyInstance, folder: string): void {
  const files = readPage(folder)
  const send = (reply: FastifyReply, { type, bytes }: PageFile, keeps: boolean) =>
    reply
      .header('content-security-policy', POLICY)
      .header('x-content-type-options', 'nosniff')
      .header('referrer-policy', 'no-referrer')
      .header('cross-origin-opener-policy', 'same-origin')
      .header('cross-origin-resource-policy', 'same-origin')
      .header('cache-control', keeps ? 'public, max-age=31536000, immutable' : 'no-cache')
      .type(type)
      .send(bytes)
  for (const [path, file] of files) {
    // Names of assets have their hash in them.
    const keeps = path.startsWith('/assets/')
    app.get(path === '/index.html' ? '/' : path, (_request, reply) => send(reply, file, keeps))
  }
}
