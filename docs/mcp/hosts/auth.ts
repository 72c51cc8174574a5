// Put the verification of your tokens here: a JWT library, or a request to the issuer. This one compares with a list.
const subjects: Record<string, string> = JSON.parse(process.env['TOKENS'] ?? '{}')

/** The principal of a request, or `undefined` without a valid token. Tasks belong to issuer, client and subject. */
export async function verify(authorization: string | null | undefined) {
  const token = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1] ?? ''
  if (!Object.hasOwn(subjects, token)) return undefined
  const extra = { iss: 'https://issuer.example', sub: subjects[token] }
  return { token, clientId: 'app', scopes: [], expiresAt: Math.floor(Date.now() / 1_000) + 3_600, extra }
}
