// Membership of several machines in one run.
export { Directory, LEASE_SECONDS } from './directory.js'
export { Membership, type MembershipEffect, type MembershipOptions } from './membership.js'
export type { Generation, GenerationMember, MemberRecord, View } from './records.js'
export { StoreChoice } from './store-choice.js'
