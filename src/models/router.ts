import { demoModel, resolveAlias, type Aliases } from './aliases.ts'
import type { Model, ModelInfo } from './model.ts'

export interface ModelRouterOptions {
  /** The configured model endpoint, if one is. */
  backend?: Model
  demo: Model
  aliases: Aliases
}

/**
 * Sends each request where it belongs: `demo` to the built-in model, all others to the backend under the name
 * that their alias says. Without a backend the demo model answers for every name, so that an app can be tried
 * as it is.
 */
export function createModelRouter({ backend, demo, aliases }: ModelRouterOptions): Model {
  return {
    description: describe(backend ?? demo, aliases),
    complete(request, on, signal, headers) {
      const model = resolveAlias(aliases, request.model)
      const chosen = model === demoModel ? demo : (backend ?? demo)
      return chosen.complete({ ...request, model }, on, signal, headers)
    },
    /**
     * Rejects when the backend does not answer: a list that holds the demo model alone would say that the
     * backend's models are gone, and clients that look for theirs would act on it.
     */
    async list(signal) {
      const builtIn = await demo.list(signal)
      if (backend === undefined) return builtIn
      const served = await backend.list(signal)
      return [...served.filter((model) => !has(builtIn, model.id)), ...builtIn]
    },
  }
}

function has(models: readonly ModelInfo[], id: string): boolean {
  return models.some((model) => model.id === id)
}

function describe({ description }: Model, aliases: Aliases): string {
  if (aliases.size === 0) return description
  const pairs = [...aliases].map(([asked, served]) => `${asked} -> ${served}`)
  return `${description} (aliases: ${pairs.join(', ')})`
}
