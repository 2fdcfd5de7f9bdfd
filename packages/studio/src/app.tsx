// The frame of all pages: where one is (in the address, so that it can be kept), and light or dark.
import { useEffect, useState } from 'react'
import { ToggleButton } from 'react-aria-components'
import { THEME_CHANGE } from './curve-chart.js'
import { ModelsPage } from './models-page.js'
import { PlanPage } from './plan/plan-page.js'
import { RunsPage } from './training/runs-page.js'

const PAGES = {
  runs: { title: 'Runs', Page: RunsPage },
  models: { title: 'Models', Page: ModelsPage },
  plan: { title: 'Plan', Page: PlanPage },
} as const
type PageName = keyof typeof PAGES

const pageInAddress = (): PageName => {
  const name = location.hash.replace(/^#\//, '')
  return name in PAGES ? (name as PageName) : 'runs'
}

export function App() {
  const [name, setName] = useState(pageInAddress)
  useEffect(() => {
    const moved = () => setName(pageInAddress())
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  const { title, Page } = PAGES[name]
  useEffect(() => {
    document.title = `${title} · Hearth Studio`
  }, [title])
  return (
    <>
      <a
        className="skip"
        href="#main"
        onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}
      >
        Skip to the content
      </a>
      <header>
        <img src="/flame.svg" alt="" width={24} height={24} />
        <strong>Hearth</strong>
        <nav aria-label="Pages">
          {Object.entries(PAGES).map(([each, page]) => (
            <a key={each} href={`#/${each}`} aria-current={each === name ? 'page' : undefined}>
              {page.title}
            </a>
          ))}
        </nav>
        <ThemeButton />
      </header>
      <main id="main" tabIndex={-1}>
        <h1>{title}</h1>
        <Page />
      </main>
    </>
  )
}

const prefersDark = () => matchMedia('(prefers-color-scheme: dark)').matches

function ThemeButton() {
  const [dark, setDark] = useState(
    () => (localStorage.getItem('theme') ?? (prefersDark() ? 'dark' : 'light')) === 'dark',
  )
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  }, [dark])
  const choose = (chosen: boolean) => {
    localStorage.setItem('theme', chosen ? 'dark' : 'light')
    // Before the charts read the colours.
    document.documentElement.dataset.theme = chosen ? 'dark' : 'light'
    setDark(chosen)
    dispatchEvent(new Event(THEME_CHANGE))
  }
  return (
    <ToggleButton className="theme" isSelected={dark} onChange={choose} aria-label="Dark">
      {dark ? 'dark' : 'light'}
    </ToggleButton>
  )
}
