-- The table of the reference services. tracker_id compares without regard to case (utf8mb4_general_ci), so a key made from
-- it needs the template filter `|lower`: two spellings that MySQL takes for one row must make one key.

CREATE TABLE IF NOT EXISTS tracker_web (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  tracker_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
  name VARCHAR(255) NOT NULL DEFAULT '',
  status VARCHAR(16) NOT NULL DEFAULT 'active',
  tenant_id BIGINT UNSIGNED NOT NULL,
  extra JSON NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  PRIMARY KEY (id),
  UNIQUE KEY tracker_id (tracker_id),
  KEY tenant (tenant_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
