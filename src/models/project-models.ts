import { resolveAlias, type Aliases } from './aliases.ts'
import { createChatCompletionsModel } from './chat-completions.ts'
import { createHttpTransport, type HttpTransport, type Timeouts } from './http-transport.ts'
import { ModelError, type Model } from './model.ts'
import { createModelRouter } from './router.ts'
import { projectSettings } from './transport.ts'
import { contextWindow, type Windows } from './windows.ts'

// Which model endpoint a project uses: the server's, or its own with its own key.

/** How a project differs from the server. */
export interface OwnEndpoint {
  id: string
  model_url: string | null
  /** Undefined: there is one, and it cannot be read. */
  key: string | null | undefined
  models: string[] | null
}

export interface ProjectModelsOptions {
  /** For projects without an endpoint of their own. */
  server: Model
  demo: Model
  /** They lead to models of the server's endpoint, and count for no other. */
  aliases: Aliases
  windows: Windows
  timeouts?: Partial<Timeouts>
}

interface Entry {
  model: Model
  transport: HttpTransport | null
  aliases: Aliases
  allowed: ReadonlySet<string> | null
  /** What it was made of. */
  made: string
}

const noAliases: Aliases = new Map()

export class ProjectModels {
  readonly #options: ProjectModelsOptions
  #entries = new Map<string, Entry>()

  constructor(options: ProjectModelsOptions) {
    this.#options = options
  }

  /** The model that runs of a project use. */
  of(project: string): Model {
    return this.#entries.get(project)?.model ?? this.#options.server
  }

  /** Whether a project may use the model of this name. */
  allows(project: string, name: string): boolean {
    const allowed = this.#entries.get(project)?.allowed
    return allowed?.has(name) ?? true
  }

  /** Tokens that a model takes, as the project names it. */
  windowOf(project: string, name: string): number {
    const { aliases, windows } = this.#options
    return contextWindow(resolveAlias(this.#entries.get(project)?.aliases ?? aliases, name), windows)
  }

  /** From now on these are all projects that differ from the server. Calls that are under way go on as they began. */
  replace(endpoints: readonly OwnEndpoint[]): void {
    this.#entries = new Map(endpoints.map((one) => [one.id, this.#entryOf(one)]))
  }

  async close(): Promise<void> {
    const transports = [...this.#entries.values()].flatMap(({ transport }) => transport ?? [])
    this.#entries.clear()
    await Promise.all(transports.map((transport) => transport.close()))
  }

  #entryOf(endpoint: OwnEndpoint): Entry {
    const made = JSON.stringify([endpoint.model_url, endpoint.key ?? endpoint.key === null, endpoint.models])
    const present = this.#entries.get(endpoint.id)
    // Its connections are kept, and what was learned of the endpoint.
    if (present?.made === made) return present
    const { model_url: baseUrl, key, models } = endpoint
    const allowed = models && new Set(models)
    const { server, demo, aliases, timeouts } = this.#options
    if (baseUrl === null) return { model: limited(server, allowed), transport: null, aliases, allowed, made }
    if (key === undefined)
      return { model: unreadable(baseUrl), transport: null, aliases: noAliases, allowed, made }
    const transport = createHttpTransport({
      baseUrl,
      apiKey: key ?? undefined,
      settings: projectSettings,
      timeouts,
    })
    const backend = createChatCompletionsModel({ transport })
    const model = createModelRouter({ backend, demo, aliases: noAliases })
    return { model: limited(model, allowed), transport, aliases: noAliases, allowed, made }
  }
}

/** The model, whose list has what is allowed. */
function limited(model: Model, allowed: ReadonlySet<string> | null): Model {
  if (allowed === null) return model
  const list = async (signal: AbortSignal) => (await model.list(signal)).filter(({ id }) => allowed.has(id))
  return { ...model, list }
}

/** What stands for an endpoint whose key cannot be read: nothing is sent to it without, and nothing to the server's instead. */
function unreadable(description: string): Model {
  const fault = async (): Promise<never> => {
    throw new ModelError(
      'server_error',
      "The key of this project's model endpoint cannot be read. The server's operator has to set SECRETS_KEY to what it was, or to give the project a key anew.",
    )
  }
  return { description, complete: fault, list: fault }
}
