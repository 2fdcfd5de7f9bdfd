// Module hook for recipe files, which may lie anywhere: without a project around them. They are ES modules, whatever a
// package.json above them says or does not say; and `hearth/...` and `@hearth/...` that their own folder cannot resolve
// are taken from this installation. Everything else resolves as always.
import type { ResolveFnOutput, ResolveHook } from 'node:module'

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  try {
    return asModule(await nextResolve(specifier, context))
  } catch (error) {
    if (!/^(hearth|@hearth)\//.test(specifier)) throw error
    return nextResolve(specifier, { ...context, parentURL: import.meta.url })
  }
}

function asModule(resolved: ResolveFnOutput): ResolveFnOutput {
  const own = /^file:.*\.[jt]s(\?|$)/.test(resolved.url) && !resolved.url.includes('/node_modules/')
  return own ? { ...resolved, format: 'module' } : resolved
}
