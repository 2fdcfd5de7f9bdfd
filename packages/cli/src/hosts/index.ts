// Runs on several machines: how hosts are named and reached, and how a run is started on them.
export { lineOn, parseHosts, PORT } from './host-list.js'
export type { MemberLine } from './on-hosts.js'
export { hostOptions, runOnHosts, type HostsAsked } from './options.js'
export { examineOnHosts } from './show-hosts.js'
