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
  connections: Connections | null
  aliases: Aliases
  allowed: ReadonlySet<string> | null
  /** What it was made of. */
  made: string
}

const noAliases: Aliases = new Map()

export class ProjectModels {
  readonly #options: ProjectModelsOptions
  #entries = new Map<string, Entry>()
  /** Those that calls are under way on, though no project has them any more. */
  readonly #retired = new Set<Connections>()

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
    const before = this.#entries
    this.#entries = new Map(endpoints.map((one) => [one.id, this.#entryOf(one)]))
    for (const [id, entry] of before) if (this.#entries.get(id) !== entry) this.#retire(entry)
  }

  #retire({ connections }: Entry): void {
    if (connections === null) return
    this.#retired.add(connections)
    void connections.unused().then(() => {
      this.#retired.delete(connections)
      return connections.transport.close()
    })
  }

  async close(): Promise<void> {
    const present = [...this.#entries.values()].flatMap(({ connections }) => connections ?? [])
    this.#entries.clear()
    await Promise.all([...present, ...this.#retired].map(({ transport }) => transport.close()))
  }

  #entryOf(endpoint: OwnEndpoint): Entry {
    const made = JSON.stringify([endpoint.model_url, endpoint.key ?? endpoint.key === null, endpoint.models])
    const present = this.#entries.get(endpoint.id)
    // Its connections are kept, and what was learned of the endpoint.
    if (present?.made === made) return present
    const { model_url: baseUrl, key, models } = endpoint
    const allowed = models && new Set(models)
    const { server, demo, aliases, timeouts } = this.#options
    if (baseUrl === null)
      return { model: limited(server, allowed), connections: null, aliases, allowed, made }
    if (key === undefined)
      return { model: unreadable(baseUrl), connections: null, aliases: noAliases, allowed, made }
    const transport = createHttpTransport({
      baseUrl,
      apiKey: key ?? undefined,
      settings: projectSettings,
      timeouts,
    })
    const connections = new Connections(transport)
    const backend = connections.counted(createChatCompletionsModel({ transport }))
    const model = createModelRouter({ backend, demo, aliases: noAliases })
    return { model: limited(model, allowed), connections, aliases: noAliases, allowed, made }
  }
}

/**
 * The connections to an endpoint, and the calls that use them: between two requests of one call there is none, so that undici alone
 * cannot tell when the last is done.
 */
class Connections {
  readonly transport: HttpTransport
  #calls = 0
  #wake: () => void = () => {}

  constructor(transport: HttpTransport) {
    this.transport = transport
  }

  /** The model, whose calls count. */
  counted(model: Model): Model {
    return {
      description: model.description,
      complete: (...args) => this.#during(model.complete(...args)),
      list: (signal) => this.#during(model.list(signal)),
    }
  }

  /** Resolves when no call is under way; none may begin any more. */
  async unused(): Promise<void> {
    while (this.#calls > 0) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  async #during<T>(call: Promise<T>): Promise<T> {
    this.#calls++
    try {
      return await call
    } finally {
      this.#calls--
      this.#wake()
    }
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
