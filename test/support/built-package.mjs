/** The built package with its inner layers, for scripts that plain node runs. */

/**
 * @typedef {typeof import('#lib/index.js') & typeof import('#lib/keys/index.js') & typeof import('#lib/exchange/index.js') &
 * typeof import('#lib/protocol/index.js') & typeof import('#lib/testing/index.js')} BuiltPackage
 */

/**
 * The public exports, and those of the layers beneath. Ends the process if nothing is built.
 *
 * @returns {Promise<BuiltPackage>}
 */
export async function loadBuiltPackage() {
  const parts = ['index.js', 'keys/index.js', 'exchange/index.js', 'protocol/index.js', 'testing/index.js'];
  try {
    const modules = await Promise.all(parts.map((part) => import(`#lib/${part}`)));
    return Object.assign({}, ...modules);
  } catch (error) {
    console.error(`no built package: run \`npx nest build esm\` first (${error})`);
    return process.exit(1);
  }
}
