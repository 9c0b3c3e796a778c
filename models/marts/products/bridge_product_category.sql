-- One row per SKU and category it stands in, with the share of it that counts there.
--
-- Shares are equal; the primary category takes what rounding leaves over, so that they add up to one and
-- a sum over categories is the sum over products.
with

products as (

    select * from {{ ref('dim_products') }}

),

categories as (

    select * from {{ ref('stg_shop__product_categories') }}

),

-- a path that stands twice in one document counts once
paths as (

    select
        product_id,
        category_path,
        max(category_l1) as category,
        max(category_l2) as subcategory,
        min(position) as position
    from categories
    where category_l1 is not null
    group by product_id, category_path

),

ranked as (

    select
        products.product_key,
        products.product_id,
        coalesce(paths.category_path, products.category_path, products.category) as category_path,
        coalesce(paths.category, products.category) as category,
        coalesce(paths.subcategory, products.subcategory) as subcategory,
        row_number() over (
            partition by products.product_key
            order by paths.position asc nulls last, paths.category_path asc nulls last
        ) as category_rank,
        count(*) over (partition by products.product_key) as category_count
    from products
    left join paths
        on products.product_id = paths.product_id

),

shared as (

    select
        *,
        round(1.0 / category_count, 6) as share
    from ranked

),

final as (

    select
        {{ surrogate_key(['product_key', 'category_path']) }} as product_category_key,
        product_key,
        product_id,
        category_path,
        category,
        subcategory,
        cast(category_rank as {{ dbt.type_int() }}) as category_rank,
        cast(
            case when category_rank = 1 then 1 - share * (category_count - 1) else share end as numeric(9, 6)
        ) as weight,
        category_rank = 1 as is_primary
    from shared

)

select * from final
