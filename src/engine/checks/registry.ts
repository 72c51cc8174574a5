/** The task definitions of this process, by name. */
import { HoldfastError } from '../../base/errors.js'
import { isObject, shown } from '../../base/expected.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'

/** Map of the registered definitions. */
export class Registry {
  readonly #definitions = new Map<string, AnyTaskDefinition>()

  /** The definition with this name, if one is registered. */
  get(name: string): AnyTaskDefinition | undefined {
    return this.#definitions.get(name)
  }

  /** Names of the registered definitions. */
  get names(): string[] {
    return [...this.#definitions.keys()]
  }

  /** The definition with this name. @throws HoldfastError `TASK_TYPE_UNKNOWN` */
  require(name: string): AnyTaskDefinition {
    const definition = this.#definitions.get(name)
    if (definition) return definition
    const known = this.names.map((known) => `'${known}'`).join(', ') || 'none'
    throw new HoldfastError(
      'TASK_TYPE_UNKNOWN',
      `No task named '${name}' is registered (registered: ${known}). Pass its definition in \`tasks\`, or call \`register\`.`,
      { details: { type: name } },
    )
  }

  /**
   * Adds a definition.
   * @returns true if the definition is new
   * @throws TypeError if another definition has the same name, because the name must find the same code after a
   * crash
   */
  add(definition: AnyTaskDefinition): boolean {
    const { body, run, name, retry, cleanUp }: Partial<AnyTaskDefinition> = definition ?? {}
    if (typeof (body ?? run) !== 'function' || typeof name !== 'string' || !isObject(retry) || !isObject(cleanUp)) {
      throw new TypeError(`Expected a definition made by \`defineTask\`, got ${shown(definition)}`)
    }
    const there = this.#definitions.get(definition.name)
    if (there === definition) return false
    if (there) throw new TypeError(`Another definition is registered under the name '${definition.name}'`)
    this.#definitions.set(definition.name, definition)
    return true
  }
}
