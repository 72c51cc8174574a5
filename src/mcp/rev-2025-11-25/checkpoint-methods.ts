/** placeholder */
export function installCheckpointMethods(..._: unknown[]): void {}
