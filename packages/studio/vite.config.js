// The page's build: files that the server of `hearth studio` keeps in memory. Nothing inline, for the content policy.
import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  build: { outDir: 'dist/page', emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
})
