/**
 * The root that AWS signs attestation documents under, pinned by the SHA-256 of its DER. The certificate itself comes
 * with every document (the first of its `cabundle`), so the pin is all there is to keep.
 *
 * Source: AWS Nitro Enclaves root "G1", subject `C=US, O=Amazon, OU=AWS, CN=aws.nitro-enclaves`, valid 2019-10-28 to
 * 2049-10-28; https://docs.aws.amazon.com/enclaves/latest/user/verify-root.html.
 */
import type { Root } from './expectation.ts';

export const AWS_ROOT_SHA256 = '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b';

export const awsRoot: Root = { kind: 'aws', sha256: AWS_ROOT_SHA256 };
